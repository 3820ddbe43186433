//! Links of a span, read before it is written to.

use std::sync::Arc;

use pyo3::prelude::*;

use super::api::api;
use super::attribute::{self, Bounds, Read};
use super::read::{header_of, target_of};
use crate::py::value::pairs;
use crate::record::Target;
use crate::span::Span;
use crate::turn::Turn;

/// A link to be added. It needs Python no more.
pub(super) struct Link {
    /// None for one that is left out, and counted: its ids are too large to be sent.
    target: Option<Target<'static>>,
    trace_state: Arc<str>,
    read: Read,
}

impl Link {
    /// A link, unless it says nothing: an invalid context alone.
    pub(super) fn read(
        bounds: Bounds<'_>,
        context: &Bound<'_, PyAny>,
        attributes: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Option<Self>> {
        if !context.is_truthy()? {
            return Ok(None);
        }
        let says = context.getattr("is_valid")?.is_truthy()?
            || attributes.map_or(Ok(false), PyAnyMethods::is_truthy)?
            || context.getattr("trace_state")?.is_truthy()?;
        if !says {
            return Ok(None);
        }
        let read = attribute::all(bounds, attributes)?;
        let trace_state = header_of(api(context.py())?, &context.getattr("trace_state")?)?;
        Ok(Some(Self {
            target: target_of(context, "")?,
            trace_state,
            read,
        }))
    }

    /// The links of a sequence, which may be None.
    pub(super) fn all(bounds: Bounds<'_>, came: Option<&Bound<'_, PyAny>>) -> PyResult<Vec<Self>> {
        let mut links = Vec::new();
        let Some(came) = came.filter(|came| !came.is_none()) else {
            return Ok(links);
        };
        for link in came.try_iter()? {
            let link = link?;
            if !link.is_truthy()? {
                continue;
            }
            let attributes = link.getattr("attributes")?;
            let attributes = Some(&attributes).filter(|attributes| !attributes.is_none());
            let context = link.getattr("context")?;
            links.extend(Self::read(bounds, &context, attributes)?);
        }
        Ok(links)
    }

    /// Adds it to a span.
    pub(super) fn add(&self, turn: Turn<'_>, span: &Span) {
        span.change(turn, |record, rules| {
            let Some(target) = self.target else {
                return record.miss_link();
            };
            let target = Target {
                trace_state: &self.trace_state,
                ..target
            };
            let attributes = pairs(&self.read.attributes);
            record.add_link(target, attributes, self.read.dropped, rules);
        });
    }
}
