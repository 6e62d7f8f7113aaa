//! Extractors whose refusals are ours: bodies, queries, path segments, headers.

use axum::body::HttpBody;
use axum::extract::{FromRequest, FromRequestParts, RawPathParams, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use bytes::{Bytes, BytesMut};
use collective_api::IDEMPOTENCY_HEADER;
use collective_core::limits::MAX_BODY_LEN;
use collective_core::{Code, Rejection};
use http_body_util::BodyExt;
use serde::de::DeserializeOwned;

use super::app::App;
use super::decode;
use super::problem::Refused;

/// Bodies up to this size are read freely; larger ones wait for one of a few places.
pub(super) const SMALL_BODY: usize = 1024 * 1024;
/// How much of a body that is too large is read and thrown away, so that its
/// sender gets to the answer instead of a broken connection.
const MAX_DISCARDED: usize = 4 * MAX_BODY_LEN;

/// A JSON body.
pub(crate) struct Sent<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<App> for Sent<T> {
    type Rejection = Refused;

    async fn from_request(request: Request, app: &App) -> Result<Self, Refused> {
        let (parts, body) = request.into_parts();
        is_json(&parts.headers)?;
        read_then(body, app, decode::json).await.map(Self)
    }
}

/// A JSON body that may be left out.
pub(crate) struct MaySend<T>(pub(crate) T);

impl<T: DeserializeOwned + Default> FromRequest<App> for MaySend<T> {
    type Rejection = Refused;

    async fn from_request(request: Request, app: &App) -> Result<Self, Refused> {
        let (parts, body) = request.into_parts();
        read_then(body, app, |bytes| {
            if bytes.is_empty() {
                return Ok(T::default());
            }
            is_json(&parts.headers)?;
            decode::json(bytes)
        })
        .await
        .map(Self)
    }
}

fn is_json(headers: &HeaderMap) -> Result<(), Rejection> {
    let sent = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let essence = sent.split(';').next().unwrap_or_default().trim();
    let (kind, subtype) = essence.split_once('/').unwrap_or_default();
    let subtype = subtype.to_ascii_lowercase();
    if kind.eq_ignore_ascii_case("application") && (subtype == "json" || subtype.ends_with("+json"))
    {
        return Ok(());
    }
    let what = match essence {
        "" => "the body has no content type".to_owned(),
        other => format!(
            "the body is `{}`, not JSON",
            collective_core::text::shown(other)
        ),
    };
    Err(Rejection::new(Code::UnsupportedMediaType, what)
        .hint("send it with `Content-Type: application/json`"))
}

/// Reads the body, within its bounds, and hands it to `read`.
async fn read_then<T>(
    mut body: axum::body::Body,
    app: &App,
    read: impl FnOnce(&[u8]) -> Result<T, Rejection>,
) -> Result<T, Refused> {
    let announced = body.size_hint().lower();
    if announced > MAX_BODY_LEN as u64 {
        let size = usize::try_from(announced).unwrap_or(usize::MAX);
        discard(body).await;
        return Err(Rejection::too_large("the body", size, MAX_BODY_LEN).into());
    }
    let mut place = None;
    let mut first: Option<Bytes> = None;
    let mut all = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            Rejection::new(
                Code::InvalidBody,
                format!("the body could not be read: {error}"),
            )
        })?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        let size = first.as_ref().map_or(all.len(), Bytes::len) + data.len();
        if size > MAX_BODY_LEN {
            discard(body).await;
            return Err(Rejection::too_large("the body", size, MAX_BODY_LEN).into());
        }
        if size > SMALL_BODY && place.is_none() {
            // Never closed; an error would only mean that nothing bounds it.
            place = app.large_bodies.acquire().await.ok();
        }
        match (first.take(), all.is_empty()) {
            // Most bodies are one piece and are read where they are.
            (None, true) => first = Some(data),
            (earlier, _) => {
                all.extend_from_slice(earlier.as_deref().unwrap_or_default());
                all.extend_from_slice(&data);
            }
        }
    }
    Ok(read(first.as_deref().unwrap_or(&all))?)
}

async fn discard(mut body: axum::body::Body) {
    let mut seen = 0;
    while let Some(Ok(frame)) = body.frame().await {
        seen += frame.data_ref().map_or(0, Bytes::len);
        if seen > MAX_DISCARDED {
            return;
        }
    }
}

/// The query, as `T`.
pub(crate) struct Asked<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequestParts<App> for Asked<T> {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Refused> {
        Ok(Self(decode::query(parts.uri.query().unwrap_or_default())?))
    }
}

/// The one variable segment of the path.
pub(crate) struct Named<T>(pub(crate) T);

impl<T: Segment> FromRequestParts<App> for Named<T> {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Refused> {
        let params = path_params(parts, app).await?;
        let (name, text) = params.iter().next().ok_or_else(lost_segment)?;
        Ok(Self(T::read(text).map_err(|rejection| rejection.at(name))?))
    }
}

/// The two variable segments of the path.
pub(crate) struct NamedIn<A, B>(pub(crate) A, pub(crate) B);

impl<A: Segment, B: Segment> FromRequestParts<App> for NamedIn<A, B> {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Refused> {
        let params = path_params(parts, app).await?;
        let mut params = params.iter();
        let (outer, a) = params.next().ok_or_else(lost_segment)?;
        let (inner, b) = params.next().ok_or_else(lost_segment)?;
        Ok(Self(
            A::read(a).map_err(|rejection| rejection.at(outer))?,
            B::read(b).map_err(|rejection| rejection.at(inner))?,
        ))
    }
}

async fn path_params(parts: &mut Parts, app: &App) -> Result<RawPathParams, Rejection> {
    RawPathParams::from_request_parts(parts, app)
        .await
        .map_err(|error| Rejection::new(Code::InvalidField, format!("the path: {error}")))
}

fn lost_segment() -> Rejection {
    Rejection::new(
        Code::Internal,
        "a handler asks for a segment that its route doesn't have",
    )
}

/// What a segment of a path can be read as.
pub(crate) trait Segment: Sized {
    fn read(text: &str) -> Result<Self, Rejection>;
}

impl Segment for String {
    fn read(text: &str) -> Result<Self, Rejection> {
        Ok(text.to_owned())
    }
}

macro_rules! segments {
    ($($name:ident),*) => {
        $(impl Segment for collective_core::$name {
            fn read(text: &str) -> Result<Self, Rejection> {
                text.parse()
            }
        })*
    };
}

segments!(
    AgentName,
    KeyId,
    MessageId,
    QuestionId,
    QueueName,
    ReservationId,
    ScheduleId,
    TeamName
);

/// The `Idempotency-Key`, if one was sent.
pub(crate) struct Idempotency(Option<String>);

impl Idempotency {
    pub(crate) fn key(&self) -> Option<&str> {
        self.0.as_deref()
    }
}

impl FromRequestParts<App> for Idempotency {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Refused> {
        let Some(value) = parts.headers.get(IDEMPOTENCY_HEADER) else {
            return Ok(Self(None));
        };
        let text = value.to_str().map_err(|_| {
            Rejection::new(Code::InvalidField, "has a character that isn't ASCII")
                .at(IDEMPOTENCY_HEADER)
        })?;
        Ok(Self(Some(text.to_owned())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn only_json_is_taken_for_json() {
        for (sent, ok) in [
            ("application/json", true),
            ("Application/JSON; charset=utf-8", true),
            ("application/merge-patch+json", true),
            ("text/json", false),
            ("application/jsonp", false),
            ("application/x-www-form-urlencoded", false),
            ("", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(sent));
            assert_eq!(is_json(&headers).is_ok(), ok, "{sent}");
        }
    }
}
