//! What `help` tells: each command with its arguments, once, for people and for error messages.

/// A command as it is written.
pub(super) struct Usage {
    pub(super) name: &'static str,
    pub(super) arguments: &'static str,
    pub(super) effect: &'static str,
}

/// All commands by their subject.
pub(super) const SUBJECTS: [(&str, &[Usage]); 5] = [
    ("people and doors", PEOPLE),
    ("locks and sensors", LOCKS),
    ("boards; without BOARD: all of them", BOARDS),
    ("the line to the agent", LINE),
    ("the simulation", SIMULATION),
];

const PEOPLE: &[Usage] = &[
    usage("open", "LOCK", "a door opens with no pulse: by key, by force, by itself"),
    usage("pop", "LOCK MS", "a door opens by itself, MS from now"),
    usage("close", "LOCK", "a door is pushed shut"),
    usage("put", "LOCK", "something is put in; the door must be open"),
    usage("take", "LOCK", "the compartment is emptied; the door must be open"),
    usage("visitor", "LOCK put|take|off", "the same, as soon as the door opens next"),
];

const LOCKS: &[Usage] = &[
    usage("jam", "LOCK on|off", "a pulse does not open the door"),
    usage("crack", "LOCK MS|off", "a pulse opens it a crack, and it falls shut after MS"),
    usage("slow", "LOCK MS|off", "a pulse opens it only after MS"),
    usage("sympathetic", "LOCK OTHER|off", "a pulse that opens it opens OTHER, too"),
    usage("hook", "LOCK open|closed|off", "the hook switch is stuck so, whatever the door does"),
    usage("infrared", "LOCK full|empty|off", "the infrared sensor is stuck so (cu16)"),
    usage("invert", "LOCK on|off", "the hook switch is of the other kind: its bit is inverted"),
];

const BOARDS: &[Usage] = &[
    usage("mute", "[BOARD] on|off|COUNT", "replies are lost, or the next COUNT; pulses still act"),
    usage("late", "[BOARD] MS|off", "replies begin MS later"),
    usage("truncate", "[BOARD] BYTES|off", "replies break off after so many bytes"),
    usage("flip", "[BOARD] BIT|off", "bit BIT of each reply is flipped; 8 is the lowest of byte 1"),
    usage("noise", "[BOARD] BYTES|off", "so many bytes of noise come before each reply"),
    usage("garbage", "[BOARD] on|off", "noise comes instead of each reply"),
    usage("clash", "BOARD OTHER|off", "BOARD is set to the address of OTHER, not to its own"),
    usage("clash", "BOARD OTHER both", "BOARD hears the address of OTHER beside its own"),
    usage("reboot", "[BOARD] MS", "it starts again: deaf for MS, then one reply of zero bits"),
    usage("weak-supply", "MS|off", "two locks energised at once make their boards reboot, for MS"),
];

const LINE: &[Usage] = &[
    usage("echo", "on|off", "the agent hears each byte that it sends"),
    usage("stale", "on|off", "a status request is answered with the reply to the one before"),
    usage("merge", "on|off", "replies wait until there are two, and come in one piece"),
    usage("split", "MS|off", "each byte of a reply comes alone, MS after the one before"),
    usage("babble", "noise|BYTE|off", "noise, or always BYTE (0 to 255), at line rate; no replies"),
    usage("half-open", "swallow|hold|off", "what the agent sends is lost, or held until off"),
    usage("unplug", "", "the serial port is gone, TCP connections are cut"),
    usage("replug", "", "it is back, on a new pseudo-terminal under the same --link"),
];

const SIMULATION: &[Usage] = &[
    usage("reset", "", "ends every fault; doors, and what is behind them, stay as they are"),
    usage("state", "", "open doors, full compartments and faults, as JSON"),
    usage("log", "[COUNT]", "the last COUNT (20) pulses and moves, as JSON, one a line"),
    usage("help", "", "this"),
];

const fn usage(name: &'static str, arguments: &'static str, effect: &'static str) -> Usage {
    Usage { name, arguments, effect }
}

/// How a command is written; nothing if there is none of this name.
pub(super) fn of(name: &str) -> Option<String> {
    let lines: Vec<_> = all().filter(|each| each.name == name).map(Usage::line).collect();
    (!lines.is_empty()).then(|| lines.join(", or "))
}

/// The answer to `help`.
pub(super) fn help() -> String {
    /// The longest command with its arguments, and a gap.
    const COLUMN: usize = 34;
    let mut text = String::new();
    for (subject, commands) in SUBJECTS {
        text.push_str(&format!("  {subject}:\n"));
        for each in commands {
            text.push_str(&format!("    {:COLUMN$}{}\n", each.line(), each.effect));
        }
    }
    text.push_str(
        "  LOCK and OTHER: 3 (on the first board), 1:3 or 1 3 (on board 1), 1:* or * (all).\n  \
         Locks count from 0. MS are milliseconds.\nok",
    );
    text
}

pub(super) fn all() -> impl Iterator<Item = &'static Usage> {
    SUBJECTS.into_iter().flat_map(|(_, commands)| commands)
}

impl Usage {
    pub(super) fn line(&self) -> String {
        format!("{} {}", self.name, self.arguments).trim_end().to_owned()
    }
}
