//! What is found missing, and what is said where it cannot be installed.

use super::*;

fn venv_in(dir: &Path) -> Venv {
    fs::create_dir_all(dir.join("xtask")).unwrap();
    fs::write(dir.join(venv::REQUIREMENTS), "base45==0.4.4\n").unwrap();
    Venv::of(dir, dir).unwrap()
}

#[test]
fn only_programs_that_are_not_on_the_path_are_missing() {
    let missing = tools::missing(&tools::ALWAYS, |program| program != "zbarimg");
    assert_eq!(missing.iter().map(|tool| tool.package).collect::<Vec<_>>(), ["zbar-tools"]);
}

#[test]
fn without_root_the_commands_are_printed() {
    let plan = Plan { tools: tools::ALWAYS.iter().take(3).collect(), venv: None };
    let said = plan.ensure_possible(false).unwrap_err().to_string();
    let wanted =
        "sudo apt-get install --no-install-recommends zbar-tools mosquitto-clients mosquitto\n";
    assert!(said.contains(wanted), "{said}");
    assert!(said.contains("need zbarimg, mosquitto_pub, mosquitto,"), "{said}");
}

#[test]
fn python_packages_alone_need_no_root() {
    let dir = tempfile::tempdir().unwrap();
    let venv = venv_in(dir.path());
    let plan = Plan { tools: Vec::new(), venv: Some(&venv) };
    plan.ensure_possible(false).unwrap();
    assert!(plan.list().contains("xtask/requirements.txt into"), "{}", plan.list());
}

#[test]
fn a_venv_is_ready_only_when_complete_and_of_these_requirements() {
    let dir = tempfile::tempdir().unwrap();
    let venv = venv_in(dir.path());
    assert!(!venv.is_ready());

    fs::create_dir_all(venv.dir.join("bin")).unwrap();
    fs::write(venv.dir.join("bin/python"), "").unwrap();
    assert!(!venv.is_ready(), "no stamp: the install was cut off");

    fs::write(venv.dir.join("complete"), "base45==0.4.4\n").unwrap();
    assert!(venv.is_ready());

    fs::write(dir.path().join(venv::REQUIREMENTS), "base45==0.4.5\n").unwrap();
    assert!(!Venv::of(dir.path(), dir.path()).unwrap().is_ready());

    fs::remove_file(venv.dir.join("bin/python")).unwrap();
    assert!(!venv.is_ready(), "the interpreter is gone");
}
