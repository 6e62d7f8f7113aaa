//! The trace that a request belongs to (W3C Trace Context, section 3.2).

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use collective_core::task::TaskSpec;

/// The caller's `traceparent`, if it sent a valid one; an invalid one counts as none (section 3.2.2).
pub(crate) struct TraceParent(Option<String>);

impl TraceParent {
    /// Tasks that name no trace of their own belong to the caller's.
    pub(crate) fn adopt<'t>(&self, specs: impl IntoIterator<Item = &'t mut TaskSpec>) {
        let Some(parent) = &self.0 else { return };
        for spec in specs {
            if spec.traceparent.is_none() {
                spec.traceparent = Some(parent.clone());
            }
        }
    }
}

impl<S: Sync> FromRequestParts<S> for TraceParent {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let mut sent = parts.headers.get_all("traceparent").iter();
        let parent = match (sent.next(), sent.next()) {
            (Some(only), None) => only.to_str().ok().filter(|text| is_valid(text)),
            _ => None,
        };
        Ok(Self(parent.map(str::to_owned)))
    }
}

/// `version-traceid-parentid-flags`, in lower-case hex. Later versions may append more.
fn is_valid(text: &str) -> bool {
    const LEN_OF_VERSION_0: usize = 55;
    let mut fields = text.splitn(5, '-');
    let mut hex = |len: usize| {
        fields.next().filter(|field| {
            field.len() == len
                && field
                    .bytes()
                    .all(|b| b.is_ascii_digit() || matches!(b, b'a'..=b'f'))
        })
    };
    let (Some(version), Some(trace), Some(parent), Some(_flags)) =
        (hex(2), hex(32), hex(16), hex(2))
    else {
        return false;
    };
    let zero = |field: &str| field.bytes().all(|b| b == b'0');
    let length_fits = match version {
        "ff" => false,
        "00" => text.len() == LEN_OF_VERSION_0,
        _ => text.len() <= collective_core::limits::MAX_LABEL_LEN,
    };
    length_fits && !zero(trace) && !zero(parent)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    #[test]
    fn only_what_the_specification_allows_is_a_trace() {
        for (text, valid) in [
            (format!("00-{TRACE}-00f067aa0ba902b7-01"), true),
            (format!("cc-{TRACE}-00f067aa0ba902b7-01-what-comes"), true),
            (format!("00-{TRACE}-00f067aa0ba902b7-01-more"), false),
            (format!("ff-{TRACE}-00f067aa0ba902b7-01"), false),
            (format!("00-{TRACE}-0000000000000000-01"), false),
            (format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32)), false),
            (
                format!("00-{}-00f067aa0ba902b7-01", TRACE.to_uppercase()),
                false,
            ),
            (format!("00-{TRACE}-00f067aa0ba902b7"), false),
            (String::new(), false),
        ] {
            assert_eq!(is_valid(&text), valid, "{text}");
        }
    }

    #[test]
    fn a_task_with_a_trace_of_its_own_keeps_it() {
        let caller = TraceParent(Some("caller".to_owned()));
        let mut specs = [TaskSpec::new("a"), TaskSpec::new("b")];
        specs[1].traceparent = Some("own".to_owned());
        caller.adopt(&mut specs);
        let parents: Vec<_> = specs.iter().map(|s| s.traceparent.as_deref()).collect();
        assert_eq!(parents, [Some("caller"), Some("own")]);
    }
}
