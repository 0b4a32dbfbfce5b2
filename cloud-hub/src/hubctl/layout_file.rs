//! A bank's layout as operators write it.

use std::path::Path;

use locker_proto::wire::fleet::v1 as wire;
use serde::Deserialize;

use super::Failure;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct LayoutFile {
    compartments: Vec<CompartmentEntry>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CompartmentEntry {
    number: u32,
    length_mm: u32,
    width_mm: u32,
    height_mm: u32,
    #[serde(default)]
    board: u32,
    lock: u32,
}

/// Reads a layout; JSON if the name ends in `.json`, TOML otherwise.
pub(super) fn load(path: &Path) -> Result<wire::Layout, Failure> {
    let unusable = |reason: String| Failure::File { path: path.to_owned(), reason };
    let text = std::fs::read_to_string(path).map_err(|error| unusable(error.to_string()))?;
    let is_json = path.extension().is_some_and(|extension| extension == "json");
    let file: LayoutFile = if is_json {
        serde_json::from_str(&text).map_err(|error| unusable(error.to_string()))?
    } else {
        toml::from_str(&text).map_err(|error| unusable(error.to_string().trim_end().to_owned()))?
    };
    let spec = |entry: CompartmentEntry| wire::CompartmentSpec {
        number: entry.number,
        length_mm: entry.length_mm,
        width_mm: entry.width_mm,
        height_mm: entry.height_mm,
        board: entry.board,
        lock: entry.lock,
    };
    let compartments = file.compartments.into_iter().map(spec).collect();
    Ok(wire::Layout { generation: 0, compartments })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn toml_and_json_say_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let (toml, json) = (folder.path().join("l.toml"), folder.path().join("l.json"));
        std::fs::write(
            &toml,
            "[[compartments]]\nnumber = 1\nlength_mm = 400\nwidth_mm = 300\nheight_mm = 200\nlock = 7\n",
        )
        .unwrap();
        std::fs::write(
            &json,
            r#"{"compartments":[{"number":1,"length_mm":400,"width_mm":300,"height_mm":200,"board":0,"lock":7}]}"#,
        )
        .unwrap();
        let layout = load(&toml).unwrap();
        assert_eq!(layout, load(&json).unwrap());
        assert_eq!((layout.compartments[0].number, layout.compartments[0].lock), (1, 7));
    }

    #[test]
    fn a_typing_error_is_named_with_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("l.toml");
        std::fs::write(&path, "[[compartments]]\nnumbr = 1\n").unwrap();
        let said = load(&path).unwrap_err().to_string();
        assert!(said.contains("l.toml") && said.contains("numbr"), "{said}");
    }
}
