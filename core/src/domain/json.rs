//! What counts as JSON here: strict, UTF-8, and not too deep for anybody who reads it.

use serde::de::IgnoredAny;

/// Deepest nesting: many readers of JSON end at 128, and values are wrapped in messages.
const DEEPEST: usize = 100;

/// Checks a text without building anything of it.
///
/// # Errors
/// Says what is wrong and where.
pub(crate) fn strict_json(bytes: &[u8]) -> Result<&str, String> {
    if bytes.trim_ascii().is_empty() {
        return Err("it is empty".to_owned());
    }
    let text = str::from_utf8(bytes).map_err(|error| error.to_string())?;
    serde_json::from_str::<IgnoredAny>(text).map_err(|error| error.to_string())?;
    if depth(text) > DEEPEST {
        return Err(format!("it is nested more than {DEEPEST} deep"));
    }
    Ok(text)
}

/// How deep valid JSON is nested.
fn depth(text: &str) -> usize {
    let (mut depth, mut deepest, mut in_text, mut escaped) = (0_usize, 0, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            b'[' | b'{' if !in_text => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' if !in_text => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_strict_and_shallow_json_passes() {
        let nested = |depth| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(strict_json(nested(DEEPEST).as_bytes()).is_ok());
        let in_text = format!("\"{}\\\"[\"", "[".repeat(1_000));
        assert!(strict_json(in_text.as_bytes()).is_ok(), "brackets in a text are no nesting");
        let too_deep = nested(DEEPEST + 1);
        for bad in [b"".as_slice(), b" \n", b"{", b"NaN", b"1 2", b"\"\xff\"", b"\"\n\"", too_deep.as_bytes()] {
            assert!(strict_json(bad).is_err(), "{:?}", String::from_utf8_lossy(bad));
        }
        assert!(strict_json(&b"[".repeat(1_000_000)).is_err(), "without a stack for it");
    }

    proptest! {
        #[test]
        fn depth_is_what_serde_says(text in "[\\[\\]{}:,\"\\\\a1]{0,300}") {
            // Texts this short nest no deeper than both allow, or are no JSON.
            let built = serde_json::from_str::<serde_json::Value>(&text).is_ok();
            prop_assert_eq!(strict_json(text.as_bytes()).is_ok(), built);
        }

        #[test]
        fn depth_is_counted(depth in 0_usize..300) {
            let text = format!("{}\"\\\"]\"{}", "[".repeat(depth), "]".repeat(depth));
            prop_assert_eq!(strict_json(text.as_bytes()).is_ok(), depth <= DEEPEST);
        }
    }
}
