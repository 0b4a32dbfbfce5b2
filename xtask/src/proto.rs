//! Generated code is checked in, so that nobody needs a protobuf compiler to build Postern, and a reader finds it with a
//! search. This makes it anew, and tells whether what is checked in is what would be made.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use crate::workspace::root;

/// Where the generated files lie.
const GENERATED: &str = "proto/src/gen";

/// All message and service descriptors with their options, for gRPC reflection.
const DESCRIPTOR: &str = "descriptor.bin";

/// File name to content.
type Files = BTreeMap<String, Vec<u8>>;

/// Writes the generated code, or with `check` only compares.
pub(crate) fn proto(check: bool) -> Result<()> {
    let root = root();
    let wanted = generate(&root.join("proto"), &root.join("third_party/googleapis"))?;
    let dir = root.join(GENERATED);
    let found = read(&dir)?;
    let differences = compare(&found, &wanted);
    if differences.is_empty() {
        eprintln!("{GENERATED} is up to date ({} files)", wanted.len());
        return Ok(());
    }
    for difference in &differences {
        eprintln!("{GENERATED}/{difference}");
    }
    if check {
        bail!("{GENERATED} is not what the .proto files say: run `cargo xtask proto` and commit");
    }
    write(&dir, &found, &wanted)
}

/// Compiles all .proto files under `ours`; imports are looked up there and in `theirs`.
fn generate(ours: &Path, theirs: &Path) -> Result<Files> {
    let mut protos = Vec::new();
    find_protos(ours, &mut protos)?;
    ensure!(!protos.is_empty(), "there is no .proto file under {}", ours.display());
    protos.sort();

    let mut compiler = protox::Compiler::new([ours, theirs])?;
    compiler.include_imports(true).include_source_info(true);
    compiler.open_files(protos).context("the .proto files do not compile")?;
    let dir = tempfile::tempdir().context("could not make a temporary folder")?;
    tonic_prost_build::configure()
        .out_dir(dir.path())
        .compile_fds(compiler.file_descriptor_set())
        .context("could not generate code")?;
    let mut files = read(dir.path())?;
    // Google's options are read from the descriptor, never as Rust types; the well-known types are those of prost-types.
    files.retain(|name, _| !name.starts_with("google."));
    // Comments stay out of the descriptor: it is compiled into the hub.
    compiler.include_source_info(false);
    files.insert(DESCRIPTOR.into(), compiler.encode_file_descriptor_set());
    Ok(files)
}

fn find_protos(dir: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(dir).with_context(|| format!("could not read {}", dir.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            find_protos(&path, found)?;
        } else if path.extension().is_some_and(|extension| extension == "proto") {
            found.push(path);
        }
    }
    Ok(())
}

/// The files of a flat folder; none if there is no folder.
fn read(dir: &Path) -> Result<Files> {
    let mut files = Files::new();
    if !dir.exists() {
        return Ok(files);
    }
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let content = fs::read(entry.path()).with_context(|| format!("could not read {name}"))?;
        files.insert(name, content);
    }
    Ok(files)
}

fn write(dir: &Path, found: &Files, wanted: &Files) -> Result<()> {
    fs::create_dir_all(dir)?;
    for name in found.keys().filter(|name| !wanted.contains_key(*name)) {
        fs::remove_file(dir.join(name))?;
    }
    for (name, content) in wanted {
        // An untouched file keeps its time, so that cargo does not build what did not change.
        if found.get(name) != Some(content) {
            fs::write(dir.join(name), content)
                .with_context(|| format!("could not write {name}"))?;
        }
    }
    eprintln!("wrote {} ({} files)", dir.display(), wanted.len());
    Ok(())
}

/// One line for each file that differs.
fn compare(found: &Files, wanted: &Files) -> Vec<String> {
    let names: std::collections::BTreeSet<_> = found.keys().chain(wanted.keys()).collect();
    let differs = |name: &&String| match (found.get(*name), wanted.get(*name)) {
        (Some(found), Some(wanted)) if found == wanted => None,
        (Some(found), Some(wanted)) => Some(format!("{name}: {}", first_difference(found, wanted))),
        (Some(_), None) => Some(format!("{name}: no .proto file makes it")),
        (None, _) => Some(format!("{name}: missing")),
    };
    names.iter().filter_map(differs).collect()
}

fn first_difference(found: &[u8], wanted: &[u8]) -> String {
    let (Ok(found), Ok(wanted)) = (str::from_utf8(found), str::from_utf8(wanted)) else {
        return "differs".into();
    };
    let same = found.lines().zip(wanted.lines()).take_while(|(a, b)| a == b).count();
    let line = |text: &str| text.lines().nth(same).unwrap_or("(end of file)").trim().to_owned();
    format!("line {} is `{}` and should be `{}`", same + 1, line(found), line(wanted))
}

#[cfg(test)]
mod tests;
