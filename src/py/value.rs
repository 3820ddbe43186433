//! Python values to wire form and back. Whatever a value is, it raises nothing: what cannot be kept
//! is counted and named. Conversion may run Python code, so it is over before a span is touched.

use std::borrow::Cow;

use pyo3::exceptions::PyException;
use pyo3::prelude::*;
use pyo3::types::{
    PyBool, PyByteArray, PyBytes, PyDict, PyFloat, PyFrozenSet, PyInt, PyList, PyMapping,
    PyMemoryView, PySequence, PySet, PyString, PyTuple,
};

use super::error::wrong_type;
use super::ffi::{ascii, exact_int};
use super::lifecycle;
use crate::otlp::message::{AnyValue, KeyValue, any_value};
use crate::pipeline::Pipeline;
use crate::value::{Value, ValueWriter};

/// Deeper values are replaced by a marker; so are containers inside themselves. A mapping takes three
/// messages a level, an event's value lies six deep, and most protobuf readers, ours among them,
/// refuse a whole batch for one value beyond 100.
const MAX_DEPTH: usize = 31;
const TOO_DEEP: &str = "<nested too deep>";
const RECURSION: &str = "<recursion>";

/// A value that needs Python no more.
pub(crate) enum Converted {
    Text(String),
    Bool(bool),
    Int(i64),
    Double(f64),
    Bytes(Vec<u8>),
    Encoded(Vec<u8>),
}

impl Converted {
    pub(crate) fn as_value(&self) -> Value<'_> {
        match self {
            Self::Text(text) => Value::Text(text),
            Self::Bool(bool) => Value::Bool(*bool),
            Self::Int(int) => Value::Int(*int),
            Self::Double(double) => Value::Double(*double),
            Self::Bytes(bytes) => Value::Bytes(bytes),
            Self::Encoded(bytes) => Value::Encoded(bytes),
        }
    }
}

/// What setting a key to a value means.
pub(crate) enum Change {
    Set(Converted),
    /// `None`.
    Unset,
    /// The value cannot be kept: nothing changes.
    Nothing,
}

/// Attributes ready to be written.
pub(crate) type Attributes = Vec<(String, Converted)>;

/// As the core takes them.
pub(crate) fn pairs(attributes: &Attributes) -> impl Iterator<Item = (&str, Value<'_>)> {
    attributes
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_value()))
}

/// Text as UTF-8; a lone surrogate becomes U+FFFD.
#[inline]
pub(crate) fn text<'a>(text: &'a Bound<'_, PyString>) -> Cow<'a, str> {
    if let Some(ascii) = ascii(text) {
        return Cow::Borrowed(ascii);
    }
    text.to_str()
        .map_or_else(|_| Cow::Owned(without_surrogates(text)), Cow::Borrowed)
}

/// Text as Python shall read it back: what will be sent, and no subclass of anybody's.
#[inline]
pub(crate) fn plain(came: &Bound<'_, PyString>) -> Py<PyString> {
    match text(came) {
        Cow::Borrowed(_) if came.is_exact_instance_of::<PyString>() => came.clone().unbind(),
        text => PyString::new(came.py(), &text).unbind(),
    }
}

/// A value of an exact type that needs no conversion and runs no code; None for any other.
#[inline(always)]
pub(crate) fn simple<'a>(came: &'a Bound<'_, PyAny>) -> Option<Value<'a>> {
    if let Ok(text) = came.cast_exact::<PyString>() {
        return exact_text(text).map(Value::Text);
    }
    if let Ok(int) = came.cast_exact::<PyInt>() {
        return exact_int(int).map(Value::Int);
    }
    if let Ok(value) = came.cast_exact::<PyBool>() {
        return Some(Value::Bool(value.is_true()));
    }
    let double = came.cast_exact::<PyFloat>().ok()?;
    Some(Value::Double(double.value()))
}

/// The text of a str; None for one that UTF-8 cannot hold.
#[inline(always)]
pub(crate) fn exact_text<'a>(text: &'a Bound<'_, PyString>) -> Option<&'a str> {
    ascii(text).or_else(|| text.to_str().ok())
}

fn without_surrogates(text: &Bound<'_, PyString>) -> String {
    // Of the base class: a subclass may have an `encode` of its own.
    let base = text.py().get_type::<PyString>();
    let bytes = base.call_method1("encode", (text, "utf-8", "surrogatepass"));
    let Ok(bytes) = bytes.and_then(|bytes| bytes.extract::<Vec<u8>>()) else {
        return text.to_string_lossy().into_owned();
    };
    let mut result = String::with_capacity(bytes.len());
    let mut rest = bytes.as_slice();
    while let Err(error) = std::str::from_utf8(rest) {
        let (valid, bad) = rest.split_at(error.valid_up_to());
        result.push_str(&String::from_utf8_lossy(valid));
        result.push('\u{fffd}');
        // In UTF-8 with surrogates passed through, one is always three bytes.
        rest = bad.get(3..).unwrap_or_default();
    }
    result.push_str(&String::from_utf8_lossy(rest));
    result
}

/// Reads values for one pipeline: its limit on their length, its counts, its log lines.
pub(crate) struct Reader<'a> {
    /// None while there is no pipeline yet: its resource is being read.
    pipeline: Option<&'a Pipeline>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(pipeline: &'a Pipeline) -> Self {
        Self {
            pipeline: Some(pipeline),
        }
    }

    /// A reader for the attributes of a resource, which have no limits.
    pub(crate) fn unlimited() -> Self {
        Self { pipeline: None }
    }

    /// One value, to be set under `key`.
    pub(crate) fn change(&self, key: &str, came: &Bound<'_, PyAny>) -> PyResult<Change> {
        if came.is_none() {
            return Ok(Change::Unset);
        }
        let max_length = self
            .pipeline
            .and_then(|p| p.limits().attribute_value_length);
        Ok(match self.kind(key, came)? {
            Kind::Plain(value) => Change::Set(value),
            Kind::Lost => Change::Nothing,
            nested => {
                let mut bytes = Vec::new();
                let mut path = Vec::new();
                self.write(
                    ValueWriter::new(&mut bytes, max_length),
                    key,
                    nested,
                    came,
                    &mut path,
                )?;
                Change::Set(Converted::Encoded(bytes))
            }
        })
    }

    /// A mapping of attributes; None values are left out. Raises for a key that is no text, before
    /// anything is written anywhere.
    pub(crate) fn attributes(
        &self,
        argument: &str,
        came: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Attributes> {
        let changes = self.changes(argument, came)?.into_iter();
        Ok(changes
            .filter_map(|(key, change)| match change {
                Change::Set(value) => Some((key, value)),
                Change::Unset | Change::Nothing => None,
            })
            .collect())
    }

    /// A mapping of changes, all keys checked.
    pub(crate) fn changes(
        &self,
        argument: &str,
        came: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Vec<(String, Change)>> {
        let Some(came) = came else {
            return Ok(Vec::new());
        };
        let items = items(came)
            .ok_or_else(|| wrong_type(argument, "a mapping of str to values", came))??;
        let mut keyed = Vec::with_capacity(items.len());
        for item in items {
            let (key, value): (Bound<'_, PyAny>, Bound<'_, PyAny>) = item
                .extract()
                .map_err(|_| wrong_type(argument, "a mapping of str to values", came))?;
            let key = key.cast_into::<PyString>().map_err(|error| {
                wrong_type(
                    &format!("every key of {argument}"),
                    "a str",
                    &error.into_inner(),
                )
            })?;
            keyed.push((text(&key).into_owned(), value));
        }
        keyed
            .into_iter()
            .map(|(key, value)| self.change(&key, &value).map(|change| (key, change)))
            .collect()
    }

    fn kind<'py>(&self, key: &str, came: &Bound<'py, PyAny>) -> PyResult<Kind<'py>> {
        let Some(_below) = lifecycle::Below::enter() else {
            return Ok(Kind::Lost);
        };
        match kind_of(came) {
            Ok(Some(kind)) => Ok(kind),
            Ok(None) => Ok(self.lost(key, came, None)),
            // Not an error of the value: somebody wants the program to stop.
            Err(error) if !error.is_instance_of::<PyException>(came.py()) => Err(error),
            Err(error) => Ok(self.lost(key, came, Some(&error))),
        }
    }

    fn lost<'py>(&self, key: &str, came: &Bound<'py, PyAny>, error: Option<&PyErr>) -> Kind<'py> {
        // In a forked child the parent's table of notices may be locked for ever.
        let Some(pipeline) = self.pipeline.filter(|pipeline| !pipeline.is_inherited()) else {
            return Kind::Lost;
        };
        pipeline.counters().dropped_values.add(1);
        let kind = came.get_type();
        let kind = kind
            .name()
            .map_or_else(|_| "?".to_owned(), |name| name.to_string());
        pipeline
            .notices()
            .leave_once(&format!("value {key} {kind}"), || match error {
                None => format!("attribute {key:?}: a value of type {kind} cannot be kept"),
                Some(error) => {
                    let error = error
                        .get_type(came.py())
                        .name()
                        .map_or_else(|_| "?".to_owned(), |n| n.to_string());
                    format!("attribute {key:?}: reading a value of type {kind} raised {error}")
                }
            });
        Kind::Lost
    }

    fn write(
        &self,
        mut writer: ValueWriter<'_>,
        key: &str,
        kind: Kind<'_>,
        came: &Bound<'_, PyAny>,
        path: &mut Vec<usize>,
    ) -> PyResult<()> {
        let address = came.as_ptr() as usize;
        match kind {
            Kind::Plain(value) => writer.value(value.as_value()),
            Kind::Empty | Kind::Lost => (),
            Kind::Array(_) | Kind::Map(_) if path.contains(&address) => {
                writer.value(Value::Text(RECURSION));
            }
            Kind::Array(_) | Kind::Map(_) if path.len() >= MAX_DEPTH => {
                writer.value(Value::Text(TOO_DEEP));
            }
            Kind::Array(items) => {
                path.push(address);
                writer.array(|array| {
                    items.iter().try_for_each(|item| {
                        let kind = self.kind(key, &item)?;
                        array.item(|writer| self.write(writer, key, kind, &item, path))
                    })
                })?;
                path.pop();
            }
            Kind::Map(items) => {
                path.push(address);
                writer.map(|map| {
                    items.iter().try_for_each(|(name, item)| {
                        let Some(name) = self.entry_name(key, name)? else {
                            return Ok(());
                        };
                        let kind = self.kind(key, item)?;
                        map.entry(&name, |writer| self.write(writer, key, kind, item, path))
                    })
                })?;
                path.pop();
            }
        }
        Ok(())
    }

    /// The key of a nested mapping, as text.
    fn entry_name(&self, key: &str, name: &Bound<'_, PyAny>) -> PyResult<Option<String>> {
        if let Ok(name) = name.cast::<PyString>() {
            return Ok(Some(text(name).into_owned()));
        }
        match name.str() {
            Ok(name) => Ok(Some(text(&name).into_owned())),
            Err(error) if !error.is_instance_of::<PyException>(name.py()) => Err(error),
            Err(error) => {
                self.lost(key, name, Some(&error));
                Ok(None)
            }
        }
    }
}

/// What a Python value is to us.
enum Kind<'py> {
    Plain(Converted),
    /// `None` inside a container.
    Empty,
    Array(Bound<'py, PyList>),
    /// Items of a mapping.
    Map(Vec<(Bound<'py, PyAny>, Bound<'py, PyAny>)>),
    Lost,
}

/// The kind of a value; None when it has none of ours. May run Python code.
fn kind_of<'py>(came: &Bound<'py, PyAny>) -> PyResult<Option<Kind<'py>>> {
    let py = came.py();
    let plain = if let Ok(value) = came.cast::<PyString>() {
        Converted::Text(text(value).into_owned())
    } else if let Ok(value) = came.cast::<PyBool>() {
        Converted::Bool(value.is_true())
    } else if let Ok(value) = came.cast::<PyInt>() {
        int(value)?
    } else if let Ok(value) = came.cast::<PyFloat>() {
        Converted::Double(value.value())
    } else if came.is_none() {
        return Ok(Some(Kind::Empty));
    } else if let Ok(value) = came.cast::<PyBytes>() {
        Converted::Bytes(value.as_bytes().to_vec())
    } else if let Ok(value) = came.cast::<PyByteArray>() {
        Converted::Bytes(value.to_vec())
    } else if came.is_instance_of::<PyMemoryView>() {
        Converted::Bytes(came.call_method0("tobytes")?.extract()?)
    } else if let Ok(value) = came.cast::<PyList>() {
        // A copy: converting an item may run code that changes the list.
        return Ok(Some(Kind::Array(value.get_slice(0, value.len()))));
    } else if let Ok(value) = came.cast::<PyTuple>() {
        return Ok(Some(Kind::Array(value.to_list())));
    } else if came.is_instance_of::<PySet>() || came.is_instance_of::<PyFrozenSet>() {
        return Ok(Some(Kind::Array(PyList::new(
            py,
            came.try_iter()?.collect::<PyResult<Vec<_>>>()?,
        )?)));
    } else if let Some(items) = items(came) {
        // What `items` of a class of the application's gives need not be pairs.
        let items = items?.iter().map(|entry| entry.extract());
        return Ok(Some(Kind::Map(items.collect::<PyResult<_>>()?)));
    } else if let Ok(value) = came.cast::<PySequence>() {
        return Ok(Some(Kind::Array(value.to_list()?)));
    } else if let Some(value) = number(came)? {
        value
    } else if defines_str(came)? {
        Converted::Text(text(&came.str()?).into_owned())
    } else {
        return Ok(None);
    };
    Ok(Some(Kind::Plain(plain)))
}

/// The items of a mapping, copied; None when it is no mapping.
fn items<'py>(came: &Bound<'py, PyAny>) -> Option<PyResult<Bound<'py, PyList>>> {
    if let Ok(dict) = came.cast::<PyDict>() {
        return Some(Ok(dict.items()));
    }
    came.cast::<PyMapping>()
        .ok()
        .map(pyo3::types::PyMappingMethods::items)
}

/// An int beyond 64 bits becomes decimal text, or hexadecimal where Python refuses decimal: since
/// 3.11 it does beyond 4,300 digits.
fn int(value: &Bound<'_, PyInt>) -> PyResult<Converted> {
    if let Ok(int) = value.extract() {
        return Ok(Converted::Int(int));
    }
    let plain = value.py().get_type::<PyInt>();
    // Not `__str__`: int has none of its own, and object's asks the subclass's `__repr__`.
    let text = plain.call_method1("__repr__", (value,));
    let text = text.or_else(|_| plain.call_method1("__format__", (value, "#x")))?;
    Ok(Converted::Text(text.extract()?))
}

/// What says it is an integer (`__index__`), and numpy's floats and booleans.
fn number(came: &Bound<'_, PyAny>) -> PyResult<Option<Converted>> {
    let kind = came.get_type();
    if kind.hasattr("__index__")? {
        match came.call_method0("__index__") {
            Ok(index) => {
                if let Ok(index) = index.cast::<PyInt>() {
                    return int(index).map(Some);
                }
            }
            // Not an error of the value: somebody wants the program to stop.
            Err(error) if !error.is_instance_of::<PyException>(came.py()) => return Err(error),
            Err(_) => (),
        }
    }
    if kind.module()?.to_str()? != "numpy" {
        return Ok(None);
    }
    if kind.name()?.to_str()?.starts_with("bool") {
        return Ok(Some(Converted::Bool(came.is_truthy()?)));
    }
    Ok(came
        .call_method0("__float__")
        .and_then(|f| f.extract())
        .ok()
        .map(Converted::Double))
}

/// True when a class of the value's has a `__str__` of its own.
fn defines_str(came: &Bound<'_, PyAny>) -> PyResult<bool> {
    let object = came.py().get_type::<PyAny>();
    Ok(!came
        .get_type()
        .getattr("__str__")?
        .is(&object.getattr("__str__")?))
}

/// Attributes as Python reads them.
pub(crate) fn to_dict<'py>(
    py: Python<'py>,
    attributes: &[KeyValue],
) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    for KeyValue { key, value } in attributes {
        dict.set_item(key, to_python(py, value.as_ref())?)?;
    }
    Ok(dict)
}

fn to_python<'py>(py: Python<'py>, value: Option<&AnyValue>) -> PyResult<Bound<'py, PyAny>> {
    use any_value::Value as V;
    let Some(value) = value.and_then(|value| value.value.as_ref()) else {
        return Ok(py.None().into_bound(py));
    };
    Ok(match value {
        V::StringValue(text) => PyString::new(py, text).into_any(),
        V::BoolValue(bool) => PyBool::new(py, *bool).to_owned().into_any(),
        V::IntValue(int) => int.into_pyobject(py)?.into_any(),
        V::DoubleValue(double) => PyFloat::new(py, *double).into_any(),
        V::BytesValue(bytes) => PyBytes::new(py, bytes).into_any(),
        V::ArrayValue(array) => {
            let items = array.values.iter().map(|item| to_python(py, Some(item)));
            PyTuple::new(py, items.collect::<PyResult<Vec<_>>>()?)?.into_any()
        }
        V::KvlistValue(map) => to_dict(py, &map.values)?.into_any(),
    })
}
