//! Other samplers for other spans.

use super::{Question, Sampler};
use crate::context::SpanKind;

/// Which spans a sampler is for: those that match all that is given.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// A pattern of the span's name.
    pub name: Option<Box<str>>,
    /// A pattern of its tracer's name.
    pub tracer: Option<Box<str>>,
    /// Its kind.
    pub kind: Option<SpanKind>,
    /// The sampler.
    pub sampler: Sampler,
}

impl Rule {
    fn is_for(&self, question: &Question<'_>) -> bool {
        let fits = |pattern: Option<&str>, text| pattern.is_none_or(|own| is_like(own, text));
        self.kind.is_none_or(|kind| kind == question.kind)
            && fits(self.tracer.as_deref(), question.tracer)
            && fits(self.name.as_deref(), question.name)
    }
}

/// The first rule that a span matches says which sampler is asked about it.
#[derive(Debug, PartialEq)]
pub struct RuleBased {
    /// In the order in which they are tried.
    pub rules: Vec<Rule>,
    /// For spans that match none.
    pub otherwise: Sampler,
}

impl RuleBased {
    pub(super) fn sampler_for(&self, question: &Question<'_>) -> &Sampler {
        let rule = self.rules.iter().find(|rule| rule.is_for(question));
        rule.map_or(&self.otherwise, |rule| &rule.sampler)
    }
}

/// True for text like the pattern, in which `*` stands for any text and `?` for any character.
pub(crate) fn is_like(pattern: &str, text: &str) -> bool {
    let (mut pattern, mut text) = (pattern.chars(), text.chars());
    // What follows the last `*`, and the text that it has not swallowed yet.
    let mut star = None;
    loop {
        let left = text.clone();
        match (pattern.next(), text.next()) {
            (Some('*'), _) => {
                text = left.clone();
                star = Some((pattern.clone(), left));
            }
            (Some('?'), Some(_)) => (),
            (Some(wanted), Some(came)) if wanted == came => (),
            (None, None) => return true,
            _ => {
                let Some((after, swallowed)) = &mut star else {
                    return false;
                };
                if swallowed.next().is_none() {
                    return false;
                }
                (pattern, text) = (after.clone(), swallowed.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::is_like;

    #[test]
    fn a_star_is_any_text_and_a_question_mark_any_character() {
        for (pattern, text) in [
            ("", ""),
            ("*", ""),
            ("*", "GET /"),
            ("GET /health*", "GET /health"),
            ("GET /health*", "GET /healthz/live"),
            ("*/ab*ab", "/ab/abab"),
            ("?ET", "GET"),
            ("caf?", "café"),
            ("a*b*c", "a-b-b-c"),
            ("**", "x"),
        ] {
            assert!(is_like(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [
            ("", "x"),
            ("x", ""),
            ("GET", "GET /"),
            ("*b", "abc"),
            ("?", ""),
            ("a?c", "ac"),
            ("a*b*c", "a-c-b"),
            ("*ab", "aab/b"),
        ] {
            assert!(!is_like(pattern, text), "{pattern} {text}");
        }
    }
}
