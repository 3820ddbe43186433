//! How often, and how samplers go together.

use super::*;
use crate::id::Ids;

fn ratio(rate: f64) -> Ratio {
    Ratio::new(rate).unwrap()
}

fn consistent(rate: f64) -> Sampler {
    Sampler::ConsistentProbability(Arc::new(Probability::new(ratio(rate))))
}

fn by_ratio(rate: f64) -> Sampler {
    Sampler::TraceIdRatio(Arc::new(SettableRatio::new(ratio(rate))))
}

fn asked(
    sampler: &Sampler,
    trace_id: &TraceId,
    parent: Option<(Option<bool>, bool)>,
    trace_state: Option<&str>,
) -> Answer {
    sampler.decide(&Question {
        trace_id,
        random: true,
        parent: parent.map(|(sampled, is_remote)| AskedParent {
            span_id: SpanId::new([1; 8]).unwrap(),
            sampled,
            is_remote,
        }),
        trace_state,
        tracer: "tracer",
        name: "name",
        kind: SpanKind::Server,
        now_ns: &|| 0,
    })
}

fn id() -> TraceId {
    TraceId::new([1; 16]).unwrap()
}

fn decision(sampler: &Sampler, parent: Option<(Option<bool>, bool)>) -> Decision {
    asked(sampler, &id(), parent, None).decision
}

#[test]
fn a_rate_outside_nought_to_one_is_none() {
    for rate in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
        assert_eq!(Ratio::new(rate), None);
    }
}

#[test]
fn a_lower_rate_keeps_a_subset_of_what_a_higher_one_keeps() {
    let ids = Ids::random();
    let rates = [0.0, 0.1, 0.5, 0.9, 1.0].map(ratio);
    for _ in 0..1_000 {
        let id = ids.trace_id(crate::turn::take().turn(), 0);
        assert!(rates.iter().map(|rate| rate.keeps(&id)).is_sorted());
        assert!(!rates[0].keeps(&id) && rates[4].keeps(&id));
    }
}

#[test]
fn of_a_million_traces_the_rate_is_sampled() {
    const TRACES: u32 = 1_000_000;
    let ids = Ids::random();
    let ids: Vec<_> = (0..TRACES)
        .map(|_| ids.trace_id(crate::turn::take().turn(), 0))
        .collect();
    for rate in [0.001, 0.1, 0.5, 0.999] {
        for sampler in [by_ratio(rate), consistent(rate)] {
            let is_sampled = |id: &&TraceId| {
                asked(&sampler, id, None, None).decision == Decision::RecordAndSample
            };
            let sampled = ids.iter().filter(is_sampled).count() as f64;
            let mean = rate * f64::from(TRACES);
            // Further away than six standard deviations is one run in 500 million.
            let bound = 6.0 * (mean * (1.0 - rate)).sqrt();
            assert!((sampled - mean).abs() < bound, "{sampled} at {rate}");
        }
    }
}

#[test]
fn the_parent_is_followed_and_the_root_sampler_judges_only_without_its_decision() {
    for (root, of_root) in [
        (Sampler::AlwaysOff, Decision::Drop),
        (Sampler::AlwaysOn, Decision::RecordAndSample),
    ] {
        let sampler = Sampler::parent_based(root);
        for is_remote in [true, false] {
            let by_parent = |sampled| decision(&sampler, Some((sampled, is_remote)));
            assert_eq!(by_parent(Some(true)), Decision::RecordAndSample);
            assert_eq!(by_parent(Some(false)), Decision::Drop);
            assert_eq!(by_parent(None), of_root);
        }
        assert_eq!(decision(&sampler, None), of_root);
    }
}

#[test]
fn each_branch_of_the_parent_has_its_sampler() {
    let parents = [(true, true), (false, true), (true, false), (false, false)];
    for (index, _) in parents.iter().enumerate() {
        let pick = |own| {
            if own == index {
                Sampler::AlwaysOn
            } else {
                Sampler::AlwaysOff
            }
        };
        let sampler = Sampler::ParentBased(Arc::new(ParentBased {
            root: Sampler::AlwaysOff,
            remote_parent_sampled: pick(0),
            remote_parent_not_sampled: pick(1),
            local_parent_sampled: pick(2),
            local_parent_not_sampled: pick(3),
        }));
        for (other, (sampled, is_remote)) in parents.into_iter().enumerate() {
            let decided = decision(&sampler, Some((Some(sampled), is_remote)));
            assert_eq!(decided, Decision::of(other == index));
        }
    }
}

#[test]
fn what_is_dropped_may_be_recorded_for_this_process() {
    let record = |sampler| Sampler::AlwaysRecord(Arc::new(sampler));
    assert_eq!(
        decision(&record(Sampler::AlwaysOff), None),
        Decision::RecordOnly
    );
    assert_eq!(
        decision(&record(Sampler::AlwaysOn), None),
        Decision::RecordAndSample
    );
}

#[test]
fn the_threshold_of_a_root_says_how_many_it_stands_for() {
    let id = TraceId::new([0xff; 16]).unwrap();
    for (rate, state) in [(1.0, "ot=th:0"), (0.5, "ot=th:8"), (0.25, "ot=th:c")] {
        let answer = asked(&consistent(rate), &id, None, None);
        assert_eq!(answer.trace_state.as_deref(), Some(state));
        assert_eq!(adjusted_count(state), Some(1.0 / rate));
    }
    let answer = asked(&consistent(0.0), &id, None, None);
    assert_eq!(
        (answer.decision, answer.trace_state),
        (Decision::Drop, None)
    );
}

#[test]
fn the_given_randomness_counts_before_the_trace_id() {
    let lowest = Some("ot=rv:00000000000000");
    let id = TraceId::new([0xff; 16]).unwrap();
    assert_eq!(
        asked(&consistent(0.5), &id, None, lowest).decision,
        Decision::Drop
    );
}

#[test]
fn a_child_of_a_sampled_parent_has_no_higher_probability_than_that() {
    let branch = |rate| {
        Sampler::ParentBased(Arc::new(ParentBased {
            remote_parent_sampled: consistent(rate),
            ..ParentBased::new(Sampler::AlwaysOn)
        }))
    };
    let id = TraceId::new([0xff; 16]).unwrap();
    let child = |rate, state| asked(&branch(rate), &id, Some((Some(true), true)), state);
    assert_eq!(child(1.0, Some("ot=th:8")).trace_state, None);
    let rarer = child(0.25, Some("ot=th:8"));
    assert_eq!(rarer.trace_state.as_deref(), Some("ot=th:c"));
    // How probable the parent was nobody knows, so nobody knows of the child.
    assert_eq!(child(0.25, None).trace_state, None);
}

#[test]
fn a_threshold_goes_where_another_sampler_decided() {
    let id = TraceId::new(
        [0; 15]
            .iter()
            .copied()
            .chain([1])
            .collect::<Vec<_>>()
            .try_into()
            .unwrap(),
    );
    let id = id.unwrap();
    let state = Some("ot=th:0,a=b");
    for sampler in [Sampler::AlwaysOn, Sampler::AlwaysOff, by_ratio(0.5)] {
        let answer = asked(&sampler, &id, Some((Some(true), true)), state);
        assert_eq!(answer.trace_state.as_deref(), Some("a=b"));
    }
    let follows = asked(
        &Sampler::parent_based(by_ratio(0.5)),
        &id,
        Some((Some(true), true)),
        state,
    );
    assert_eq!(follows.trace_state, None);
}

#[test]
fn a_rule_is_for_spans_that_match_all_of_it_and_the_first_counts() {
    let rule = |name: Option<&str>, kind| Rule {
        name: name.map(Box::from),
        tracer: Some("tr*r".into()),
        kind,
        sampler: Sampler::AlwaysOn,
    };
    let sampled = |rules| {
        let otherwise = Sampler::AlwaysOff;
        let sampler = Sampler::RuleBased(Arc::new(RuleBased { rules, otherwise }));
        decision(&sampler, None) == Decision::RecordAndSample
    };
    assert!(sampled(vec![rule(Some("na*"), Some(SpanKind::Server))]));
    assert!(!sampled(vec![rule(Some("other"), Some(SpanKind::Server))]));
    assert!(!sampled(vec![rule(Some("na*"), Some(SpanKind::Client))]));
    let never = Rule {
        sampler: Sampler::AlwaysOff,
        ..rule(None, None)
    };
    assert!(!sampled(vec![never, rule(None, None)]));
}
