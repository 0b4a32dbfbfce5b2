//! Six-digit codes on the hub's side: it draws them, makes the tags that banks hold, and is alone
//! able to read the digits again.

pub mod key_file;
pub mod mint;
pub mod pepper;
pub mod sealing;
