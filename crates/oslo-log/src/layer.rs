//! The subscriber's layer: keeps request contexts with their spans and writes events.

use std::sync::{Arc, OnceLock};

use chrono::{DateTime, Local};
use tracing::metadata::LevelFilter;
use tracing::span::{Attributes, Id, Record as SpanRecord};
use tracing::subscriber::Interest;
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use crate::context::{Collect, RequestContext, TARGET};
use crate::filter::Filter;
use crate::format::Formats;
use crate::journal::Journal;
use crate::record::{Fields, Record};
use crate::sink::{LogFile, to_stderr};
use crate::syslog::Syslog;
use crate::tail::Tail;

/// All that writing a record needs; shared by the layer, the bridge from `log`, and the panic hook.
pub(crate) struct Output {
    pub(crate) filter: Filter,
    pub(crate) formats: Formats,
    pub(crate) use_json: bool,
    pub(crate) project: String,
    pub(crate) started: DateTime<Local>,
    pub(crate) file: Option<LogFile>,
    pub(crate) stderr: bool,
    pub(crate) syslog: Option<Syslog>,
    pub(crate) journal: Option<Journal>,
    pub(crate) tail: OnceLock<Tail>,
}

impl Output {
    pub(crate) fn write(&self, record: &Record) {
        if let Some(tail) = self.tail.get() {
            tail.take(record);
        }
        let text = match self.use_json {
            true => crate::json::line(record, &self.formats, &self.project, self.started),
            false => self.formats.line(record),
        };
        if let Some(syslog) = &self.syslog {
            syslog.write(record, &text);
        }
        if let Some(journal) = &self.journal {
            journal.write(record, &text);
        }
        let line = text + "\n";
        if let Some(file) = &self.file {
            file.write(&line);
        }
        if self.stderr {
            to_stderr(&line);
        }
    }
}

/// The layer.
pub(crate) struct OutputLayer(pub(crate) Arc<Output>);

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for OutputLayer {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if self.0.filter.allows(metadata.target(), *metadata.level()) {
            Interest::always()
        } else {
            Interest::never()
        }
    }

    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        self.0.filter.allows(metadata.target(), *metadata.level())
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.0.filter.most())
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        if attributes.metadata().target() != TARGET {
            return;
        }
        let mut found = RequestContext::default();
        attributes.record(&mut Collect(&mut found));
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(found);
        }
    }

    fn on_record(&self, id: &Id, values: &SpanRecord<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        if let Some(known) = span.extensions_mut().get_mut::<RequestContext>() {
            values.record(&mut Collect(known));
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let metadata = event.metadata();
        let mut record = Record::new(Local::now(), (*metadata.level()).into(), metadata.target(), fields);
        record.path = metadata.file().unwrap_or_default().to_owned();
        record.line = metadata.line().unwrap_or_default();
        record.module = metadata.module_path().unwrap_or_default().to_owned();
        record.context = context
            .event_scope(event)
            .and_then(|mut scope| scope.find_map(|span| span.extensions().get::<RequestContext>().cloned()));
        self.0.write(&record);
    }
}
