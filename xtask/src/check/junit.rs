//! What became of each test, from the runner's JUnit file and not from what it shows to people. The file is asked for in a
//! folder of its own for each run, so that neither an older report nor one of a second run beside it is taken for this one.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use tempfile::TempDir;

/// Elements inside a `<testcase>` that a test which passed may have too. All others (`failure`, `error`, `skipped`,
/// `flakyFailure`, ...) say that it did not, and one we have never heard of is no proof that it did.
const HARMLESS: [&str; 3] = ["properties", "system-out", "system-err"];

/// A test that was run, or was at least reported.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TestCase {
    /// The path of the function inside its test program, such as `bank::tests::d02_a_lock_that_jams`.
    pub(super) name: String,
    pub(super) has_passed: bool,
}

/// Where the runner is to write its report. Dropping it deletes the report.
pub(super) struct Report(TempDir);

impl Report {
    /// Makes the folder, in the target directory.
    pub(super) fn new(target_dir: &Path) -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("test-report-").tempdir_in(target_dir);
        Ok(Self(dir.with_context(|| format!("no test report in {}", target_dir.display()))?))
    }

    /// Has the nextest run `command` write it, in whichever profile that runs.
    pub(super) fn request(&self, command: &mut Command) -> Result<()> {
        // A `path` in .config/nextest.toml would be relative to `target` in the checkout, also when CARGO_TARGET_DIR is not.
        let config = self.0.path().join("nextest.toml");
        let text = format!(
            "[store]\ndir = {}\n\n[profile.default.junit]\npath = {}\nstore-failure-output = false\n",
            toml_string(self.0.path())?,
            toml_string(&self.0.path().join("junit.xml"))?
        );
        fs::write(&config, text).with_context(|| format!("writing {}", config.display()))?;
        command.arg("--tool-config-file").arg(format!("xtask:{}", utf8(&config)?));
        Ok(())
    }

    /// What became of each test.
    pub(super) fn read(&self) -> Result<Vec<TestCase>> {
        let file = self.0.path().join("junit.xml");
        let text = fs::read_to_string(&file)
            .with_context(|| format!("the test runner wrote no report to {}", file.display()))?;
        parse(&text)
            .with_context(|| format!("{} is not JUnit as nextest writes it", file.display()))
    }
}

/// The `<testcase>` elements of a JUnit file.
fn parse(text: &str) -> Result<Vec<TestCase>> {
    let mut cases = Vec::new();
    let mut open: Vec<&str> = Vec::new();
    let mut rest = text;
    while let Some(tag) = next_tag(&mut rest)? {
        if let Some(name) = tag.strip_prefix('/') {
            let opened = open.pop().unwrap_or("nothing");
            ensure!(opened == name.trim_end(), "<{opened}> is ended by </{name}>");
            continue;
        }
        let (tag, is_whole) = tag.strip_suffix('/').map_or((tag, false), |tag| (tag, true));
        let name = tag.split(char::is_whitespace).next().unwrap_or(tag);
        ensure!(!open.is_empty() || name == "testsuites", "<{name}> where <testsuites> should be");
        if name == "testcase" {
            let name = attribute(tag, "name")?.context("a <testcase> without a name")?;
            cases.push(TestCase { name, has_passed: true });
        } else if open.last() == Some(&"testcase") && !HARMLESS.contains(&name) {
            cases.last_mut().context("a <testcase> is open")?.has_passed = false;
        }
        if !is_whole {
            open.push(name);
        }
    }
    if let Some(name) = open.last() {
        bail!("it ends inside <{name}>");
    }
    ensure!(!cases.is_empty(), "it has no <testcase>");
    Ok(cases)
}

/// The next tag without its angle brackets; text, comments and declarations before it are passed over.
fn next_tag<'a>(rest: &mut &'a str) -> Result<Option<&'a str>> {
    while let Some(start) = rest.find('<') {
        let markup = &rest[start..];
        let skipped = [("<?", "?>"), ("<!--", "-->"), ("<![CDATA[", "]]>")];
        if let Some((begin, end)) = skipped.iter().find(|(begin, _)| markup.starts_with(begin)) {
            let body = &markup[begin.len()..];
            let at = body.find(end).with_context(|| format!("`{begin}` has no end"))?;
            *rest = &body[at + end.len()..];
            continue;
        }
        ensure!(!markup.starts_with("<!"), "a `<!` that is neither comment nor CDATA");
        let body = &markup[1..];
        let end = end_of_tag(body).context("a tag has no end")?;
        *rest = &body[end + 1..];
        return Ok(Some(&body[..end]));
    }
    Ok(None)
}

/// Where the tag ends: a `>` may also be inside an attribute's value.
fn end_of_tag(tag: &str) -> Option<usize> {
    let mut quote = None;
    tag.char_indices().find_map(|(at, c)| {
        match quote {
            Some(q) if q == c => quote = None,
            None if c == '"' || c == '\'' => quote = Some(c),
            None if c == '>' => return Some(at),
            Some(_) | None => {}
        }
        None
    })
}

/// The value of the attribute `wanted` of `tag`.
fn attribute(tag: &str, wanted: &str) -> Result<Option<String>> {
    let mut rest = tag.split_once(char::is_whitespace).map_or("", |(_, rest)| rest).trim();
    while !rest.is_empty() {
        let (name, value) = rest.split_once('=').context("an attribute without `=`")?;
        let value = value.trim_start();
        let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''));
        let quote = quote.context("an attribute's value without quotes")?;
        let (value, after) = value[1..].split_once(quote).context("a quote without its end")?;
        if name.trim_end() == wanted {
            return unescape(value).map(Some);
        }
        rest = after.trim_start();
    }
    Ok(None)
}

/// Resolves the references `&lt;`, `&#39;`, `&#x27;` and so on.
fn unescape(text: &str) -> Result<String> {
    let mut parts = text.split('&');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (reference, after) = part.split_once(';').context("an `&` without its `;`")?;
        let c = match reference {
            "lt" => Some('<'),
            "gt" => Some('>'),
            "amp" => Some('&'),
            "quot" => Some('"'),
            "apos" => Some('\''),
            _ => character(reference),
        };
        plain.push(c.with_context(|| format!("`&{reference};` is not known"))?);
        plain.push_str(after);
    }
    Ok(plain)
}

/// The character that `#39` or `#x27` stands for.
fn character(reference: &str) -> Option<char> {
    let number = reference.strip_prefix('#')?;
    let number =
        number.strip_prefix('x').map_or_else(|| number.parse(), |hex| u32::from_str_radix(hex, 16));
    char::from_u32(number.ok()?)
}

/// `path` as a quoted TOML string, of which the escapes are those of JSON.
fn toml_string(path: &Path) -> Result<String> {
    Ok(Value::from(utf8(path)?).to_string())
}

fn utf8(path: &Path) -> Result<&str> {
    path.to_str().with_context(|| format!("{} is not UTF-8", path.display()))
}

#[cfg(test)]
mod tests;
