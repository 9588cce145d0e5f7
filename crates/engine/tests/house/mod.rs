//! A pipeline with people in front of it: they decide, it seals what waits.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use engine::attach::Shelf;
use engine::counsel::Counsel;
use engine::decider::{DecideError, Decider, Wish};
use engine::desk::Desk;
use engine::intake::{Block, Intake};
use engine::ledger::NewEntry;
use engine::pipeline::Pipeline;
use engine::trail::Trail;
use model::{Act, Generation, Handling, Incident, Principal, SourceId, StoreMap};
use sources::Running;

use crate::opened::{NOW, open};

/// Thieves' dumps of the payment table, as the audit plugin logs them: one a connection, hours apart.
pub(crate) fn dumps(pipeline: &Pipeline, hours: std::ops::Range<u32>) -> Vec<NewEntry> {
    let format = parse::named("mariadb_server_audit").expect("a format");
    let source = SourceId("file:audit.log".to_owned());
    let tokens = pipeline.ledger().token_key();
    let text: String = hours
        .map(|hour| {
            format!(
                "20260805 {hour:02}:16:00,db1,shop,203.0.113.66,{hour},0,CONNECT,shop,,0\n\
                 20260805 {hour:02}:16:00,db1,shop,203.0.113.66,{hour},9005,QUERY,shop,'SELECT /*!40001 SQL_NO_CACHE */ * FROM `sales_order_payment`',0\n\
                 20260805 {hour:02}:16:01,db1,shop,203.0.113.66,{hour},0,DISCONNECT,shop,,0\n"
            )
        })
        .collect();
    let offset = pipeline
        .positions()
        .get(&source)
        .map_or(0, |(_, at)| at.offset_bytes);
    let mut intake = Intake::new(source, Generation::default(), offset, format, tokens);
    let mut block = Block::default();
    intake.push(
        text.as_bytes(),
        true,
        pipeline.masker(),
        pipeline.context(),
        &mut block,
    );
    let mut records = std::mem::take(&mut block.records);
    let entry = |record| pipeline.entry(&intake, &block.bytes, record, NOW);
    records.iter_mut().map(entry).collect()
}

/// A pipeline with people in front of it.
pub(crate) struct House {
    pub(crate) pipeline: Pipeline,
    pub(crate) desk: Desk,
    pub(crate) decider: Decider,
    pub(crate) trail: Trail,
    pub(crate) counsel: Counsel,
    pub(crate) shelf: Arc<Shelf>,
    pub(crate) runtime: tokio::runtime::Runtime,
    _running: Running,
}

impl House {
    pub(crate) fn open(folder: &Path) -> Self {
        let mut pipeline = open(folder);
        let (ledger, keys) = (folder.join("ledger"), folder.join("keys"));
        let context = parse::Context::default();
        let reading = engine::evidence::of_ledger(&ledger, &keys, context);
        let (read, find) = reading.expect("opened");
        let desk = Desk::searching(read, find);
        pipeline.show_on(desk.clone());
        let running = Running::start(Vec::new()).expect("no source");
        let stores = Arc::new(StoreMap::default());
        let shelf =
            Arc::new(Shelf::open(&ledger, &keys, parse::Context::default()).expect("opened"));
        let counsel = Counsel::open(
            &keys,
            pipeline.outbox(),
            desk.clone(),
            Arc::clone(&stores),
            running.waker(),
            Arc::clone(&shelf),
        );
        let decider = Decider::new(
            pipeline.outbox(),
            desk.clone(),
            stores,
            running.waker(),
            pipeline.key_for("attachment"),
        );
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let (trail, writing) = Trail::begin(pipeline.outbox(), running.waker());
        drop(runtime.spawn(writing));
        Self {
            pipeline,
            desk,
            decider,
            trail,
            counsel: counsel.expect("opened"),
            shelf,
            runtime,
            _running: running,
        }
    }

    pub(crate) fn dump(&mut self, hours: std::ops::Range<u32>) -> Vec<String> {
        let entries = dumps(&self.pipeline, hours);
        self.pipeline.append(&entries).expect("sealed");
        self.pipeline.flush(NOW).expect("signed");
        self.ids()
    }

    pub(crate) fn ids(&self) -> Vec<String> {
        self.pipeline
            .judge()
            .incidents()
            .map(|incident| incident.id.clone())
            .collect()
    }

    /// Asks for a decision, while the pipeline seals what waits.
    pub(crate) fn decide(
        &mut self,
        who: &Principal,
        incident: &str,
        act: Act,
        reason: &str,
    ) -> Result<u64, DecideError> {
        let seen = self.desk.handling(incident).version();
        let (incident, reason) = (incident.to_owned(), reason.to_owned());
        self.ask(
            who,
            Wish {
                key: None,
                incident,
                seen,
                act,
                reason,
            },
        )
    }

    pub(crate) fn ask(&mut self, who: &Principal, wish: Wish) -> Result<u64, DecideError> {
        let (decider, who) = (self.decider.clone(), who.clone());
        self.wait(async move { decider.decide(&who, wish, NOW).await })
    }

    /// Waits for what is asked, while the pipeline seals what waits.
    pub(crate) fn wait<T: Send + 'static>(
        &mut self,
        asked: impl Future<Output = T> + Send + 'static,
    ) -> T {
        let asked = self.runtime.spawn(asked);
        while !asked.is_finished() {
            self.pipeline.take_outbox(NOW).expect("taken");
            std::thread::yield_now();
        }
        self.runtime.block_on(asked).expect("no panic")
    }

    pub(crate) fn state(&self) -> (Vec<Incident>, BTreeMap<String, Handling>) {
        let judge = self.pipeline.judge();
        (
            judge.incidents().cloned().collect(),
            judge.handlings().clone(),
        )
    }
}
