//! Headers as the formats see them: a lookup from name to values.

use std::borrow::Cow;

/// A header to send: its name, in lowercase, and its value.
pub type Header = (Cow<'static, str>, String);

/// The headers of one request, or of anything else that carries text under names.
#[derive(Debug, Default)]
pub struct Headers<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl<'a> Headers<'a> {
    /// Adds a header. Its name must be in lowercase; a name that is there already is a header that
    /// was sent more than once.
    pub fn push(&mut self, name: impl Into<Cow<'a, str>>, value: impl Into<Cow<'a, str>>) {
        self.0.push((name.into(), value.into()));
    }

    /// True when there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The values of a name, in the order in which they came.
    pub fn all<'s>(&'s self, name: &str) -> impl Iterator<Item = &'s str> {
        let same = move |header: &&(Cow<'a, str>, Cow<'a, str>)| header.0 == name;
        self.0.iter().filter(same).map(|(_, value)| &**value)
    }

    /// The value of a name, if it came exactly once.
    pub(super) fn one(&self, name: &str) -> Sent<'_> {
        let mut values = self.all(name);
        match (values.next(), values.next()) {
            (None, _) => Sent::Never,
            (Some(value), None) => Sent::Once(value),
            (Some(_), Some(_)) => Sent::Repeatedly,
        }
    }

    /// The headers whose names begin with a prefix: the rest of the name, and the value.
    pub(super) fn prefixed<'s>(
        &'s self,
        prefix: &'s str,
    ) -> impl Iterator<Item = (&'s str, &'s str)> {
        let headers = self.0.iter();
        headers.filter_map(move |(name, value)| Some((name.strip_prefix(prefix)?, &**value)))
    }
}

impl<'a, N: Into<Cow<'a, str>>, V: Into<Cow<'a, str>>> FromIterator<(N, V)> for Headers<'a> {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        let pairs = pairs.into_iter();
        Self(
            pairs
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
        )
    }
}

/// How often a header came.
#[derive(Clone, Copy)]
pub(super) enum Sent<'a> {
    Never,
    Once(&'a str),
    Repeatedly,
}

impl<'a> Sent<'a> {
    /// The value; None where it is not one.
    pub(super) fn once(self) -> Option<&'a str> {
        match self {
            Self::Once(value) => Some(value),
            Self::Never | Self::Repeatedly => None,
        }
    }
}

/// True for a token (RFC 9110, section 5.6.2): what may be part of a header's name.
pub(super) fn is_token(text: &str) -> bool {
    let special = b"!#$%&'*+-.^_`|~";
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || special.contains(&byte);
    text.bytes().all(allowed)
}

/// True for what may be sent in a header as it is: printable ASCII.
pub(super) fn is_printable(text: &str) -> bool {
    text.bytes().all(|byte| (b' '..=b'~').contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_that_came_twice_has_no_one_value() {
        let headers: Headers<'_> = [("a", "1"), ("b", "2"), ("a", "3")].into_iter().collect();
        assert_eq!(headers.one("a").once(), None);
        assert_eq!(headers.one("b").once(), Some("2"));
        assert_eq!(headers.all("a").collect::<Vec<_>>(), ["1", "3"]);
    }

    #[test]
    fn a_prefix_gives_the_rest_of_the_names() {
        let headers: Headers<'_> = [("uberctx-a", "1"), ("xuberctx-b", "2")]
            .into_iter()
            .collect();
        assert_eq!(
            headers.prefixed("uberctx-").collect::<Vec<_>>(),
            [("a", "1")]
        );
    }
}
