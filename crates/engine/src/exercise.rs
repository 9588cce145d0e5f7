//! Exercises: a story of records by the clock, written to logs that the real pipeline follows.
//!
//! The format of `content/exercises/*.toml`: logs (a file and its format), and injects (after how
//! long, into which log, how often, how far apart, and the record with placeholders `{clf}`,
//! `{audit}`, `{iso}`, `{epoch}`, `{n}`). Nothing here touches files: lines come out with their due time.

use serde::Deserialize;

/// A story of records and what must come of it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exercise {
    /// Stable id.
    pub id: String,
    /// Title.
    pub title: String,
    /// `drill` or `tabletop`.
    pub kind: String,
    /// What happens, in plain words.
    pub story: String,
    /// The logs it writes.
    pub log: Vec<Log>,
    /// What is written when.
    pub inject: Vec<Inject>,
    /// What must come of it.
    pub expect: Vec<Expected>,
}

/// A log the exercise writes.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// Name within the exercise.
    pub name: String,
    /// Path below the exercise's folder.
    pub file: String,
    /// Format, for the reader; the pipeline recognises it by itself.
    pub format: String,
}

/// Records written into a log.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Inject {
    /// Milliseconds after the start.
    pub after_ms: i64,
    /// Name of the log.
    pub log: String,
    /// How often.
    #[serde(default = "once")]
    pub repeat: i64,
    /// Milliseconds between repetitions.
    #[serde(default)]
    pub every_ms: i64,
    /// Value of `{n}` at the first repetition.
    #[serde(default)]
    pub first: i64,
    /// The record; several lines are several records.
    pub record: String,
}

const fn once() -> i64 {
    1
}

/// An incident that must come of it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expected {
    /// A table or path it names.
    pub asset: String,
    /// An actor it names.
    pub actor: String,
    /// Least severity.
    pub severity: String,
}

/// Why an exercise can't be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExerciseError {
    /// It isn't the TOML it should be.
    #[error("exercise `{name}` can't be read")]
    Format {
        /// Its file.
        name: String,
        /// What is wrong.
        source: toml::de::Error,
    },
    /// An inject names a log that isn't there.
    #[error("exercise `{name}` writes to log `{log}`, which it doesn't list")]
    UnknownLog {
        /// Its file.
        name: String,
        /// The log.
        log: String,
    },
}

/// A line that is due.
#[derive(Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// Milliseconds after the start.
    pub due_ms: i64,
    /// Path below the exercise's folder.
    pub file: &'a str,
    /// Value of `{n}`.
    pub number: i64,
    /// The record with its placeholders.
    pub template: &'a str,
}

/// The times a record may say, for one moment.
#[derive(Clone, Debug)]
pub struct Moment {
    /// `26/Nov/2026:22:00:00 +0000`.
    pub clf: String,
    /// `20261126 22:00:00`.
    pub audit: String,
    /// `2026-11-26T22:00:00.000000+00:00`.
    pub iso: String,
    /// Seconds since the epoch.
    pub epoch: i64,
}

impl Exercise {
    /// Reads an exercise.
    ///
    /// # Errors
    ///
    /// [`ExerciseError`] when it is not of the format above.
    pub fn parse(name: &str, text: &str) -> Result<Self, ExerciseError> {
        let exercise: Self = toml::from_str(text).map_err(|source| ExerciseError::Format {
            name: name.to_owned(),
            source,
        })?;
        for inject in &exercise.inject {
            if !exercise.log.iter().any(|log| log.name == inject.log) {
                let (name, log) = (name.to_owned(), inject.log.clone());
                return Err(ExerciseError::UnknownLog { name, log });
            }
        }
        Ok(exercise)
    }

    /// Every line in the order in which it is due.
    #[must_use]
    pub fn lines(&self) -> Vec<Line<'_>> {
        let mut lines = Vec::new();
        for inject in &self.inject {
            let Some(log) = self.log.iter().find(|log| log.name == inject.log) else {
                continue;
            };
            for turn in 0..inject.repeat.clamp(0, 100_000) {
                lines.push(Line {
                    due_ms: inject.after_ms + turn * inject.every_ms,
                    file: &log.file,
                    number: inject.first + turn,
                    template: &inject.record,
                });
            }
        }
        lines.sort_by_key(|line| line.due_ms);
        lines
    }
}

impl Line<'_> {
    /// Fills the placeholders; the result ends with a line end.
    #[must_use]
    pub fn render(&self, moment: &Moment) -> String {
        let mut text = self
            .template
            .replace("{clf}", &moment.clf)
            .replace("{audit}", &moment.audit)
            .replace("{iso}", &moment.iso)
            .replace("{epoch}", &moment.epoch.to_string())
            .replace("{n}", &self.number.to_string());
        if !text.ends_with('\n') {
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::{Exercise, Moment};
    use crate::content;

    #[test]
    fn every_shipped_exercise_is_readable_and_writes_lines() {
        for (name, text) in content::under("exercises/", ".toml") {
            let exercise = Exercise::parse(name, text).expect("a shipped exercise is readable");
            assert!(!exercise.lines().is_empty(), "{name} writes nothing");
        }
    }

    #[test]
    fn lines_come_in_order_and_filled() {
        let text = "id='x'\ntitle='x'\nkind='drill'\nstory='x'\nexpect=[]\n\
            [[log]]\nname='a'\nfile='a.log'\nformat='nginx_combined'\n\
            [[inject]]\nafter_ms=50\nlog='a'\nrecord='late'\n\
            [[inject]]\nafter_ms=0\nlog='a'\nrepeat=2\nevery_ms=10\nfirst=7\nrecord='{n} {epoch}'\n";
        let exercise = Exercise::parse("x", text).expect("readable");
        let moment = Moment {
            clf: String::new(),
            audit: String::new(),
            iso: String::new(),
            epoch: 9,
        };
        let lines: Vec<_> = exercise
            .lines()
            .iter()
            .map(|line| line.render(&moment))
            .collect();
        assert_eq!(lines, ["7 9\n", "8 9\n", "late\n"]);
    }
}
