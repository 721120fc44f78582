//! Parsing filters: errors point at the place.

use jaq_core::data::JustLut;
use jaq_core::load::{self, Arena, File, Loader};
use jaq_core::{Compiler, compile};
use jaq_json::Val;
use serde::{Deserialize, Serialize};

/// What jaq compiles to.
pub(super) type Filter = jaq_core::Filter<JustLut<Val>>;

/// The three filters of a feed, as they are written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filters {
    /// Makes the value out of an answer; has exactly one output.
    pub transform: String,
    /// Finds an error in an answer that looks well: an output other than `null`, `false` and `""` is one.
    pub error: Option<String>,
    /// Says which version an answer is: the same output means the same value.
    pub dedupe: Option<String>,
}

impl Filters {
    /// Parses all of them.
    ///
    /// # Errors
    /// The name of the first that is wrong (`transform`, `error` or `dedupe`), and where.
    pub fn check(&self) -> Result<(), (&'static str, ProgramError)> {
        let optional = [("error", &self.error), ("dedupe", &self.dedupe)];
        let present = optional.into_iter().filter_map(|(name, code)| Some((name, code.as_ref()?)));
        for (name, code) in [("transform", &self.transform)].into_iter().chain(present) {
            compile(code).map_err(|error| (name, error))?;
        }
        Ok(())
    }
}

/// Why a filter can not be used: what is wrong, and its line with a mark below the place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} at line {line}, column {column}:\n  {code}\n  {mark}^")]
pub struct ProgramError {
    what: String,
    line: usize,
    column: usize,
    code: String,
    mark: String,
}

impl ProgramError {
    /// `part` is a piece of `code` itself, not only an equal text.
    fn new(what: String, code: &str, part: &str) -> Self {
        let start = load::span(code, part).start.min(code.len());
        let before = code.get(..start).unwrap_or(code);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let column = before[line_start..].chars().count();
        Self {
            what,
            line: before.matches('\n').count() + 1,
            column: column + 1,
            code: code[line_start..].lines().next().unwrap_or_default().to_owned(),
            mark: " ".repeat(column),
        }
    }

    fn of_loading(code: &str, error: &load::Error<&str>) -> Self {
        let wanted = |expected: &str, found: &str| match found {
            "" => format!("{expected} expected, and the filter ends"),
            _ => format!("{expected} expected"),
        };
        // What ends too early has no place of its own.
        let end = &code[code.len()..];
        match error {
            load::Error::Io(errors) => match errors.first() {
                Some((part, _)) => Self::new("other files can not be included".to_owned(), code, part),
                None => Self::new("other files can not be included".to_owned(), code, end),
            },
            load::Error::Lex(errors) => match errors.first() {
                Some((expect, part)) => Self::new(wanted(expect.as_str(), part), code, part),
                None => Self::new("this can not be read".to_owned(), code, end),
            },
            load::Error::Parse(errors) => match errors.first() {
                Some((expect, "")) => Self::new(wanted(expect.as_str(), ""), code, end),
                Some((expect, part)) => Self::new(wanted(expect.as_str(), part), code, part),
                None => Self::new("this can not be read".to_owned(), code, end),
            },
        }
    }

    fn of_compiling(code: &str, errors: &[compile::Error<&str>]) -> Self {
        let Some((name, undefined)) = errors.first() else {
            return Self::new("this can not be compiled".to_owned(), code, code);
        };
        let what = match undefined {
            compile::Undefined::Filter(arity) => format!("there is no filter {name}/{arity}"),
            other => format!("there is no {} {name}", other.as_str()),
        };
        Self::new(what, code, name)
    }
}

/// Compiles a filter with jq's standard library; files can not be included.
pub(super) fn compile(code: &str) -> Result<Filter, ProgramError> {
    let definitions = jaq_core::defs().chain(jaq_std::defs()).chain(jaq_json::defs());
    let functions = jaq_core::funs().chain(jaq_std::funs()).chain(jaq_json::funs());
    let arena = Arena::default();
    let modules = Loader::new(definitions).load(&arena, File { code, path: () }).map_err(|errors| {
        let first = errors.first().map(|(file, error)| ProgramError::of_loading(file.code, error));
        first.unwrap_or_else(|| ProgramError::new("this can not be read".to_owned(), code, code))
    })?;
    Compiler::default().with_funs(functions).compile(modules).map_err(|errors| {
        let first = errors.first().map(|(file, errors)| ProgramError::of_compiling(file.code, errors));
        first.unwrap_or_else(|| ProgramError::new("this can not be compiled".to_owned(), code, code))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn said(code: &str) -> String {
        compile(code).err().unwrap_or_else(|| panic!("{code} is wrong")).to_string()
    }

    #[test]
    fn a_mistake_is_shown_where_it_is() {
        assert_eq!(said(".a | nosuch"), "there is no filter nosuch/0 at line 1, column 6:\n  .a | nosuch\n       ^");
        assert_eq!(said("1\n| $x"), "there is no variable $x at line 2, column 3:\n  | $x\n    ^");
        for (code, place) in [(".a | )", "column 6"), (".a |", "the filter ends at line 1, column 5"), ("", "column 1")]
        {
            assert!(said(code).contains(place), "{}", said(code));
        }
        assert!(said("{a: 1").contains("line 1"), "{}", said("{a: 1"));
        assert!(said("\"é").contains("line 1"), "{}", said("\"é"));
        assert!(said("include \"x\"; .").contains("other files"), "{}", said("include \"x\"; ."));
    }

    #[test]
    fn the_filter_that_is_wrong_is_named() {
        let mut filters = Filters { transform: ".".to_owned(), error: Some(".e".to_owned()), dedupe: None };
        assert_eq!(filters.check(), Ok(()));
        filters.dedupe = Some("(".to_owned());
        assert_eq!(filters.check().map_err(|(name, _)| name), Err("dedupe"));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn no_text_is_too_strange_to_be_refused_in_words(code in "[ -~é\n|.()\\[\\]{}\"$]{0,40}") {
            if let Err(error) = compile(&code) {
                prop_assert!(error.to_string().contains(" at line "));
            }
        }
    }
}
