//! What `state` tells: open doors, full compartments, and each fault as the command that makes it.

use serde_json::{Value, json};

use super::bank::SimBank;
use super::board::{Board, Selector};
use super::door::Door;
use super::faults::{Babble, HalfOpen, Mute};

impl SimBank {
    /// The state of all boards.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let boards = self.boards.iter().map(|board| {
            json!({
                "board": board.addr,
                "open": locks(board, |door| door.open),
                "full": locks(board, |door| door.item),
                "visitors": locks(board, |door| door.visitor_puts.is_some()),
            })
        });
        json!({
            "profile": self.config.profile.to_string(),
            "pulses": self.pulses(),
            "boards": boards.collect::<Vec<_>>(),
            "faults": self.faults(),
        })
    }

    fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        for board in &self.boards {
            for (lock, door) in board.doors.iter().enumerate() {
                self.door_faults(door, &format!("{}:{lock}", board.addr), &mut faults);
            }
            reply_faults(board, &mut faults);
        }
        faults.extend(self.weak_supply.map(|wait| format!("weak-supply {}", wait.as_millis())));
        self.line_faults(&mut faults);
        faults
    }

    fn door_faults(&self, door: &Door, name: &str, faults: &mut Vec<String>) {
        let broken = &door.faults;
        let ms = |fault: &str, time: Option<std::time::Duration>| {
            time.map(|time| format!("{fault} {name} {}", time.as_millis()))
        };
        let stuck = |fault: &str, stuck: Option<bool>, yes: &str, no: &str| {
            stuck.map(|stuck| format!("{fault} {name} {}", if stuck { yes } else { no }))
        };
        let other = broken.sympathetic.map(|place| {
            format!("sympathetic {name} {}:{}", self.boards[place.board].addr, place.lock)
        });
        let all = [
            broken.jammed.then(|| format!("jam {name} on")),
            ms("crack", broken.crack),
            ms("slow", broken.slow),
            other,
            stuck("hook", broken.hook_stuck_open, "open", "closed"),
            stuck("infrared", broken.infrared_stuck, "full", "empty"),
            broken.inverted.then(|| format!("invert {name} on")),
        ];
        faults.extend(all.into_iter().flatten());
    }

    fn line_faults(&self, faults: &mut Vec<String>) {
        let line = &self.line;
        let babble = line.babble.map(|babble| match babble {
            Babble::Noise => "babble noise".to_owned(),
            Babble::Byte(byte) => format!("babble {byte}"),
        });
        let half_open = line.half_open.map(|half_open| match half_open {
            HalfOpen::Swallow => "half-open swallow".to_owned(),
            HalfOpen::Hold => "half-open hold".to_owned(),
        });
        let all = [
            line.echo.then(|| "echo on".to_owned()),
            line.stale.then(|| "stale on".to_owned()),
            line.merge.then(|| "merge on".to_owned()),
            line.split.map(|gap| format!("split {}", gap.as_millis())),
            babble,
            half_open,
            line.unplugged.then(|| "unplug".to_owned()),
        ];
        faults.extend(all.into_iter().flatten());
    }
}

fn reply_faults(board: &Board, faults: &mut Vec<String>) {
    let (name, broken) = (board.addr, &board.faults);
    let mute = match broken.mute {
        Mute::Off | Mute::Next(0) => None,
        Mute::On => Some(format!("mute {name} on")),
        Mute::Next(count) => Some(format!("mute {name} {count}")),
    };
    let clash = match board.selector {
        Selector::Own => None,
        Selector::WrongBoard(other) => Some(format!("clash {name} {other}")),
        Selector::Both(other) => Some(format!("clash {name} {other} both")),
    };
    let late_ms = broken.late.as_millis();
    let all = [
        mute,
        (late_ms > 0).then(|| format!("late {name} {late_ms}")),
        broken.truncate_bytes.map(|bytes| format!("truncate {name} {bytes}")),
        broken.flip_bit.map(|bit| format!("flip {name} {bit}")),
        (broken.noise_bytes > 0).then(|| format!("noise {name} {}", broken.noise_bytes)),
        broken.garbage.then(|| format!("garbage {name} on")),
        clash,
    ];
    faults.extend(all.into_iter().flatten());
}

fn locks(board: &Board, wanted: impl Fn(&Door) -> bool) -> Vec<usize> {
    let doors = board.doors.iter().enumerate();
    doors.filter(|(_, door)| wanted(door)).map(|(lock, _)| lock).collect()
}
