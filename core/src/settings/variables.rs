//! `${NAME}` in a text: replaced by an environment variable, so that secrets need not stand in files.

/// A text with its variables replaced.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Expanded {
    pub(super) text: String,
    /// What they were replaced by.
    pub(super) values: Vec<String>,
}

impl Expanded {
    /// Replaces every `${NAME}`; a `$` without a bracket stays as it is.
    pub(super) fn of(text: &str, variable: &dyn Fn(&str) -> Option<String>) -> Result<Self, String> {
        let (mut rest, mut expanded) = (text, Self { text: String::with_capacity(text.len()), values: Vec::new() });
        while let Some((before, after)) = rest.split_once("${") {
            let (name, after) = after.split_once('}').ok_or("`${` has no `}`: write ${NAME}")?;
            let usable = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
            if !usable {
                return Err("`${…}` holds what is no variable's name: write ${NAME}".to_owned());
            }
            let value = variable(name).filter(|value| !value.is_empty());
            let value = value.ok_or_else(|| {
                format!("the environment variable {name} is not set: set it, or take ${{{name}}} out")
            })?;
            expanded.text.push_str(before);
            expanded.text.push_str(&value);
            expanded.values.push(value);
            rest = after;
        }
        expanded.text.push_str(rest);
        Ok(expanded)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(text: &str) -> Result<String, String> {
        let variable = |name: &str| match name {
            "KEY" => Some("s3cret${KEY}".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        };
        Expanded::of(text, &variable).map(|expanded| expanded.text)
    }

    #[test]
    fn variables_are_replaced_once() {
        assert_eq!(expanded("Apikey ${KEY}").as_deref(), Ok("Apikey s3cret${KEY}"));
        assert_eq!(expanded("$5 $KEY }").as_deref(), Ok("$5 $KEY }"));
        assert_eq!(expanded("").as_deref(), Ok(""));
    }

    #[test]
    fn what_is_not_there_is_named() {
        for (text, said) in [
            ("${NONE}", "NONE is not set"),
            ("${EMPTY}", "EMPTY is not set"),
            ("${KEY", "no `}`"),
            ("${}", "no variable's name"),
        ] {
            assert!(expanded(text).is_err_and(|e| e.contains(said)), "{text}");
        }
    }
}
