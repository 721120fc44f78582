//! What filters make of an answer. Runs in a process of its own: see `process`.

use std::io::{self, Read, Write};

use jaq_core::data::JustLut;
use jaq_core::{Ctx, Vars};
use jaq_json::{Val, read, write};
use rustix::process::{Resource, Rlimit, setrlimit};
use serde::{Deserialize, Serialize};

use super::program::{Filters, compile};
use crate::domain::{FetchFault, strict_json};

/// What the process is told, on the first line of its input; the answer follows.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Task {
    pub(super) filters: Filters,
    /// Largest output in bytes.
    pub(super) output: usize,
    /// Most memory in bytes.
    pub(super) memory: u64,
    /// Most processor time in seconds: its end even when nobody is left to kill it.
    pub(super) seconds: u64,
}

/// What filters made of an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transformed {
    /// One line of JSON.
    pub data: String,
    /// The answer's version, where the feed has a filter for it.
    pub dedupe: Option<String>,
}

/// What the process says, on one line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Verdict {
    Made(Transformed),
    Garbage(String),
    SourceError(String),
    Failed(String),
    Output(String),
}

impl Verdict {
    /// What the verdict is to the one who asked for it.
    pub(super) fn outcome(self) -> Result<Transformed, (FetchFault, String)> {
        match self {
            Self::Made(made) => Ok(made),
            Self::Garbage(said) => Err((FetchFault::Garbage, said)),
            Self::SourceError(said) => Err((FetchFault::SourceError, said)),
            Self::Failed(said) => Err((FetchFault::TransformFailed, said)),
            Self::Output(said) => Err((FetchFault::TransformOutput, said)),
        }
    }
}

/// Does one task from standard input and says the verdict on standard output: all that the process is for.
///
/// # Errors
/// When nobody gave a task, or nobody listens.
pub fn run_task() -> io::Result<()> {
    let mut input = Vec::new();
    io::stdin().lock().read_to_end(&mut input)?;
    let end = input.iter().position(|byte| *byte == b'\n').unwrap_or(input.len());
    let task: Task = serde_json::from_slice(&input[..end])?;
    let both = |most| Rlimit { current: Some(most), maximum: Some(most) };
    setrlimit(Resource::Data, both(task.memory))?;
    setrlimit(Resource::Cpu, both(task.seconds))?;
    setrlimit(Resource::Core, both(0))?;
    let verdict = judge(&task, input.get(end + 1..).unwrap_or_default());
    let mut said = serde_json::to_vec(&verdict)?;
    said.push(b'\n');
    io::stdout().lock().write_all(&said)
}

/// What a filter may go wrong with.
enum Wrong {
    Failed(String),
    Output(String),
}

fn judge(task: &Task, answer: &[u8]) -> Verdict {
    match made(task, answer) {
        Ok(verdict) => verdict,
        Err(Wrong::Failed(said)) => Verdict::Failed(said),
        Err(Wrong::Output(said)) => Verdict::Output(said),
    }
}

fn made(task: &Task, answer: &[u8]) -> Result<Verdict, Wrong> {
    // jaq reads a superset of JSON, and as deep as the stack goes: what it is given is strict and bounded.
    if let Err(wrong) = strict_json(answer) {
        return Ok(Verdict::Garbage(wrong));
    }
    let answer = match read::parse_single(answer) {
        Ok(answer) => answer,
        Err(error) => return Ok(Verdict::Garbage(error.to_string())),
    };
    let Filters { transform, error, dedupe } = &task.filters;
    if let Some(error) = error {
        for found in outputs("error", error, answer.clone())? {
            if !matches!(&found, Val::Null | Val::Bool(false)) && found != Val::from(String::new()) {
                return Ok(Verdict::SourceError(said(&found, task.output)?));
            }
        }
    }
    // An answer without a version is new: it may have another shape now.
    let version = match dedupe {
        Some(code) => outputs("dedupe", code, answer.clone())?.into_iter().next().filter(|v| !matches!(v, Val::Null)),
        None => None,
    };
    let dedupe = version.map(|version| line(&version, task.output)).transpose()?;
    let mut values = outputs("transform", transform, answer)?;
    match (values.pop(), values.pop()) {
        (Some(value), None) => Ok(Verdict::Made(Transformed { data: line(&value, task.output)?, dedupe })),
        (None, _) => Err(Wrong::Failed("the transform has no output".to_owned())),
        (Some(_), Some(_)) => Err(Wrong::Failed("the transform has several outputs: write [ ] around it".to_owned())),
    }
}

/// The first two outputs of a filter: nobody asks for more.
fn outputs(name: &str, code: &str, input: Val) -> Result<Vec<Val>, Wrong> {
    let failed = |said: String| Wrong::Failed(format!("the {name} filter ended with an error: {said}"));
    let filter = compile(code).map_err(|e| failed(e.to_string()))?;
    let context = Ctx::<JustLut<Val>>::new(&filter.lut, Vars::new([]));
    let values = filter.id.run((context, input)).take(2);
    values
        .map(|output| {
            output.map_err(|exception| match exception.get_err() {
                Ok(error) => failed(error.to_string()),
                Err(_) => failed("it halted".to_owned()),
            })
        })
        .collect()
}

/// A text as it is, anything else as JSON.
fn said(value: &Val, most: usize) -> Result<String, Wrong> {
    let json = line(value, most)?;
    Ok(serde_json::from_str(&json).unwrap_or(json))
}

/// A value as one line of strict JSON.
fn line(value: &Val, most: usize) -> Result<String, Wrong> {
    let mut line = Bounded { written: Vec::new(), most };
    if write::write(&mut line, &write::Pp::default(), 0, value).is_err() {
        return Err(Wrong::Output(format!("the output has more than {most} bytes")));
    }
    strict_json(&line.written)
        .map(str::to_owned)
        .map_err(|wrong| Wrong::Output(format!("the output is no JSON (NaN, bytes, keys that are no text?): {wrong}")))
}

/// Refuses to grow too large.
struct Bounded {
    written: Vec<u8>,
    most: usize,
}

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.written.len() + bytes.len() > self.most {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.written.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn outcome(transform: &str, error: Option<&str>, answer: &str) -> Result<Transformed, (FetchFault, String)> {
        let filters = Filters {
            transform: transform.to_owned(),
            error: error.map(str::to_owned),
            dedupe: Some(".version".to_owned()),
        };
        let task = Task { filters, output: 100, memory: 0, seconds: 0 };
        judge(&task, answer.as_bytes()).outcome()
    }

    fn fault(transform: &str, answer: &str) -> FetchFault {
        outcome(transform, None, answer).expect_err(transform).0
    }

    #[test]
    fn a_value_is_one_line_and_numbers_stay_as_they_were_written() {
        let answer = "{\n \"version\": 7,\n \"price\": 73838.870, \"big\": 12345678901234567890, \"text\": \"a\\nb\" }";
        let made = outcome("{price, big, text}", None, answer).expect("a value");
        assert_eq!(made.data, r#"{"price":73838.870,"big":12345678901234567890,"text":"a\nb"}"#);
        assert_eq!(made.dedupe.as_deref(), Some("7"));
        assert_eq!(outcome(".", None, "{}").expect("a value").dedupe, None, "without a version");
    }

    #[test]
    fn what_is_no_json_is_garbage() {
        for answer in [
            "",
            " ",
            "<html>",
            "{\"a\":",
            "NaN",
            "1 2",
            "# nothing\n1",
            "{1:2}",
            "\"\n\"",
            &"[".repeat(100_000),
            "\u{0}",
        ] {
            assert_eq!(fault(".", answer), FetchFault::Garbage, "{answer:.20}");
        }
    }

    #[test]
    fn an_error_that_hides_in_a_good_answer_is_found() {
        let found = |answer| outcome(".", Some(".Err.message // empty"), answer);
        let hidden = (FetchFault::SourceError, "API key required".to_owned());
        assert_eq!(found(r#"{"Err":{"message":"API key required"}}"#), Err(hidden));
        assert!(found(r#"{"Err":{}}"#).is_ok());
        assert_eq!(outcome(".", Some(".e"), r#"{"e":{"code":3}}"#).map_err(|e| e.1), Err(r#"{"code":3}"#.to_owned()));
        for harmless in ["null", "false", "\"\""] {
            assert!(outcome(".", Some(harmless), "{}").is_ok(), "{harmless}");
        }
        let filter = outcome(".", Some(". + 1"), "{}").expect_err("no number");
        assert!(filter.0 == FetchFault::TransformFailed && filter.1.contains("error filter"), "{filter:?}");
    }

    #[test]
    fn a_transform_has_exactly_one_output_of_bounded_size() {
        assert_eq!(fault("empty", "{}"), FetchFault::TransformFailed);
        assert_eq!(fault("1, 2", "{}"), FetchFault::TransformFailed);
        assert_eq!(fault("range(1e12)", "{}"), FetchFault::TransformFailed, "lazily");
        assert_eq!(fault("repeat(1)", "{}"), FetchFault::TransformFailed, "lazily");
        assert_eq!(fault("error(\"no\")", "{}"), FetchFault::TransformFailed);
        assert_eq!(fault("halt", "{}"), FetchFault::TransformFailed);
        assert_eq!(fault(".email / \"@\"", "{}"), FetchFault::TransformFailed, "another shape");
        assert_eq!(fault("[range(1000)]", "{}"), FetchFault::TransformOutput);
    }

    #[test]
    fn what_viewers_could_not_read_is_no_output() {
        for output in ["nan", "infinite", "{(1|tostring): nan}", "{(\"a\" | tobytes): 1}", "{(\"a\"): [infinite]}"] {
            assert_eq!(fault(output, "{}"), FetchFault::TransformOutput, "{output}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn json_goes_through_unchanged(key in "[a-z\\\\\"é\u{1}-\u{1f}]{0,4}", number in any::<i64>(), text in "\\PC{0,6}") {
            let answer = serde_json::json!({ (key): [number, text, null, true, {}, []] }).to_string();
            let made = outcome(".", None, &answer).expect("a value");
            let (before, after): (serde_json::Value, serde_json::Value) =
                (serde_json::from_str(&answer).expect("JSON"), serde_json::from_str(&made.data).expect("JSON"));
            prop_assert_eq!(before, after);
        }
    }
}
