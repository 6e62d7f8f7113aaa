//! Artifacts on their way in: from base64 to bytes, bounded and hashed.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use collective_api::leases::ArtifactUpload;
use collective_core::limits::MAX_ARTIFACT_LEN;
use collective_core::task::Artifact;
use collective_core::{Code, Rejection};
use sha2::{Digest, Sha256};

/// Bytes by artifact name.
pub(crate) type Contents = Vec<(String, Vec<u8>)>;

/// What is kept of the uploads: descriptions for the result, bytes by name.
pub(crate) fn accept(uploads: &[ArtifactUpload]) -> Result<(Vec<Artifact>, Contents), Rejection> {
    let mut descriptions = Vec::with_capacity(uploads.len());
    let mut contents = Vec::new();
    for (i, upload) in uploads.iter().enumerate() {
        let at = |rejection: Rejection| rejection.at(format!("artifacts[{i}].content"));
        let Some(content) = &upload.content else {
            descriptions.push(upload.describe(0, None));
            continue;
        };
        let bytes = decode(content, MAX_ARTIFACT_LEN).map_err(at)?;
        descriptions.push(upload.describe(bytes.len() as u64, Some(hex(&Sha256::digest(&bytes)))));
        contents.push((upload.name.clone(), bytes));
    }
    Ok((descriptions, contents))
}

/// Bytes from base64, at most `max` of them.
pub(crate) fn decode(content: &str, max: usize) -> Result<Vec<u8>, Rejection> {
    // Four characters carry three bytes; refuse before decoding what can't fit.
    let size = content.len() / 4 * 3;
    if size > max + 3 {
        return Err(Rejection::too_large("the content", size, max));
    }
    let bytes = STANDARD.decode(content).map_err(|error| {
        Rejection::new(Code::InvalidField, format!("is not base64: {error}"))
            .hint("use RFC 4648 section 4, with padding")
    })?;
    if bytes.len() > max {
        return Err(Rejection::too_large("the content", bytes.len(), max));
    }
    Ok(bytes)
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
            // Writing to a String can't fail.
            let _ = write!(out, "{byte:02x}");
            out
        })
}
