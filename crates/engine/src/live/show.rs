//! What pages are shown of sources and counters while they run.

use model::Timestamp;
use sources::News;

use super::Live;
use crate::desk::{Overview, SourceView, Update};
use crate::intake::Intake;

impl Live {
    /// Shows sources and counters on the pages.
    pub(super) fn show(&self, now: Timestamp) {
        let sources = self.tracks.iter().map(|(id, track)| {
            let intake = track.framer.intake();
            let counters = intake.map(Intake::counters).unwrap_or_default();
            SourceView {
                id: id.0.clone(),
                format: intake
                    .map_or("", |intake| intake.format().name())
                    .to_owned(),
                state: if !self.trouble.is_empty() {
                    "waiting"
                } else if !track.well {
                    "failing"
                } else if !track.framer.is_lost() {
                    "reading"
                } else {
                    "not read"
                }
                .to_owned(),
                lost: track.lost,
                delay: track.delay,
                holes: self.health.holes(id).copied().collect(),
                records: counters.records,
                bytes: counters.bytes,
                quarantined: counters.quarantined,
                lag_seconds: track.last_event.map(|time| now.seconds_since(time).max(0)),
                last_event: track.last_event,
                reason: if !self.trouble.is_empty() {
                    self.trouble.clone()
                } else if !track.framer.is_lost() {
                    track.news.clone()
                } else {
                    "no known format recognises its first bytes".to_owned()
                },
            }
        });
        // A sink that fails stops nothing, and is seen where sources are.
        let failing = self
            .pipeline
            .sink_errors()
            .into_iter()
            .map(|(name, error)| SourceView {
                id: format!("{}{name}", SourceView::SINK),
                state: "failing".to_owned(),
                reason: error,
                ..SourceView::default()
            });
        let state = self.pipeline.state_trouble().map(|why| SourceView {
            id: SourceView::STATE.to_owned(),
            state: "failing".to_owned(),
            reason: format!("rows aren't written: {why}; sealing goes on, it is tried again"),
            ..SourceView::default()
        });
        let all = sources.chain(failing).chain(state);
        self.desk.publish(Update::Sources(all.collect()));
        let pauses = self.pipeline.pauses().holding(now).cloned();
        self.desk.publish(Update::Pauses(pauses.collect()));
        let counters = self.pipeline.judge().counters();
        self.desk.publish(Update::Overview(Overview {
            installation: self.pipeline.installation().0.clone(),
            lane: self.pipeline.lane(),
            records: counters.records,
            events: counters.events,
            findings: counters.findings,
            ledger_size: self.pipeline.ledger().len(),
            checkpoint: self.pipeline.ledger().last_checkpoint().unwrap_or_default(),
            started: self.started,
            now,
        }));
    }
}

/// What happened to a source last, for people.
pub(super) fn describe(news: &News) -> String {
    match news {
        News::Truncated => "was truncated; read again from its start".to_owned(),
        News::Rotated => "was rotated; the old file was read to its end".to_owned(),
        News::Deleted => "was deleted; waiting for it to come back".to_owned(),
        News::Appeared => "appeared".to_owned(),
        News::Lost { bytes } => format!("{bytes} bytes were lost before they could be read"),
        News::Missing => "is not there yet; waiting for it".to_owned(),
        News::Unreadable => "can't be read; check its permissions".to_owned(),
        News::Dropped { records, .. } => {
            format!("{records} records were dropped before they could be read")
        }
        News::Well { what } => what.clone(),
        News::Refused { why } => why.clone(),
        News::Failed { why } => format!("{why}; it is tried again"),
        _ => String::new(),
    }
}
