//! The name of a request, in its answer, its log lines and its problem.

use std::sync::Arc;

use axum::http::{HeaderMap, HeaderValue};
use collective_api::REQUEST_ID_HEADER;
use uuid::Uuid;

/// Longest id that is taken over from a client: two UUIDs with a separator.
const MAX_LEN: usize = 80;

/// The name of a request.
#[derive(Clone, Debug)]
pub(crate) struct RequestId(Arc<str>);

impl RequestId {
    /// The client's own id if it is one that is safe in logs, otherwise a new one.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let given = headers
            .get(REQUEST_ID_HEADER)
            .and_then(|value| value.to_str().ok())
            .filter(|text| is_sane(text));
        match given {
            Some(text) => Self(Arc::from(text)),
            None => {
                let mut buffer = Uuid::encode_buffer();
                Self(Arc::from(
                    &*Uuid::now_v7().simple().encode_lower(&mut buffer),
                ))
            }
        }
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// As a header; none if it can't be one, which [`is_sane`] rules out.
    pub(crate) fn header(&self) -> Option<HeaderValue> {
        HeaderValue::from_str(&self.0).ok()
    }
}

fn is_sane(text: &str) -> bool {
    (1..=MAX_LEN).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b':'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id_for(given: &[u8]) -> String {
        let mut headers = HeaderMap::new();
        headers.insert(
            REQUEST_ID_HEADER,
            HeaderValue::from_bytes(given).expect("a header value"),
        );
        RequestId::of(&headers).as_str().to_owned()
    }

    #[test]
    fn a_sane_id_is_kept_and_any_other_replaced() {
        assert_eq!(id_for(b"build-17:3"), "build-17:3");
        let long = "x".repeat(MAX_LEN + 1);
        for bad in [&b""[..], b"a b", b"a\"b", b"\xff", long.as_bytes()] {
            let id = id_for(bad);
            assert!(Uuid::parse_str(&id).is_ok(), "{bad:?} gave {id}");
        }
    }
}
