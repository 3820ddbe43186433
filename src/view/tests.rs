//! Whole drawings.

use super::sample::{EPOCH_NS, attribute, export, failed, span};
use super::{Options, draw};
use crate::otlp::message::any_value::Value;
use crate::otlp::message::{AnyValue, ArrayValue, Event, KeyValueList, Link, Span, TracesData};

/// A span with times in tenths of a millisecond.
fn ms(id: u64, parent: u64, name: &str, start: u64, end: u64) -> Span {
    span(id, parent, name, start * 100_000, end * 100_000)
}

fn request() -> TracesData {
    let timeout = "TimeoutError: canceling statement";
    export(
        "shop",
        vec![
            ms(1, 0, "GET /cart/{id}", 0, 1842),
            ms(2, 1, "auth.verify", 5, 215),
            ms(3, 2, "redis GET session", 100, 183),
            ms(4, 1, "load_cart", 220, 1180),
            ms(5, 4, "SELECT cart", 225, 535),
            failed(ms(6, 4, "SELECT price", 560, 1161), timeout),
            ms(7, 4, "GET stock.internal/items", 560, 1000),
            ms(8, 1, "render cart.html", 1200, 1810),
        ],
    )
}

fn drawn(spans: Vec<Span>, options: &Options) -> String {
    draw(&[export("shop", spans)], options)
}

#[test]
fn a_request_is_drawn_to_scale() {
    assert_eq!(
        draw(&[request()], &Options::default()),
        "\
shop  4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b  2023-11-14 22:13:20.000Z  8 spans
1 error  184.2 ms
                               0        46.1 ms   92.1 ms  138.2 ms   184.2 ms
GET /cart/{id}                 ██████████████████████████████████████ 184.2 ms
├─ auth.verify                 █████                                   21.0 ms
│  └─ redis GET session          ██                                     8.3 ms
├─ load_cart                       █████████████████████               96.0 ms
│  ├─ SELECT cart                  ████████                            31.0 ms
│  ├─ ✖ SELECT price                      █████████████                60.1 ms
│  └─ GET stock.internal/items            ░░░░░░░░░░                   44.0 ms
└─ render cart.html                                    ██████████████  61.0 ms ◀
"
    );
}

#[test]
fn without_unicode_the_same_is_drawn_in_ascii() {
    let drawing = draw(
        &[request()],
        &Options {
            ascii: true,
            ..Options::default()
        },
    );
    assert_eq!(
        drawing,
        "\
shop  4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b  2023-11-14 22:13:20.000Z  8 spans
1 error  184.2 ms
                               0        46.1 ms   92.1 ms  138.2 ms   184.2 ms
GET /cart/{id}                 ###################################### 184.2 ms
|- auth.verify                 #####                                   21.0 ms
|  `- redis GET session          ##                                     8.3 ms
|- load_cart                       #####################               96.0 ms
|  |- SELECT cart                  ########                            31.0 ms
|  |- x SELECT price                      #############                60.1 ms
|  `- GET stock.internal/items            ----------                   44.0 ms
`- render cart.html                                    ##############  61.0 ms <
"
    );
}

#[test]
fn colours_repeat_what_the_signs_say() {
    let options = Options {
        colour: true,
        ..Options::default()
    };
    let drawing = draw(&[request()], &options);
    assert_eq!(drawing, "\
\x1b[1mshop\x1b[0m  \x1b[1m4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b\x1b[0m  2023-11-14 22:13:20.000Z  8 spans
\x1b[31m1 error\x1b[0m  184.2 ms
                               \x1b[2m0        46.1 ms   92.1 ms  138.2 ms   184.2 ms\x1b[0m
GET /cart/{id}                 ██████████████████████████████████████ 184.2 ms
├─ auth.verify                 █████                                   21.0 ms
│  └─ redis GET session          ██                                     8.3 ms
├─ load_cart                       █████████████████████               96.0 ms
│  ├─ SELECT cart                  ████████                            31.0 ms
│  ├─ \x1b[31m✖ SELECT price\x1b[0m                      \x1b[31m█████████████\x1b[0m                60.1 ms
│  └─ GET stock.internal/items            \x1b[2m░░░░░░░░░░\x1b[0m                   44.0 ms
└─ render cart.html                                    \x1b[33m██████████████\x1b[0m  \x1b[33m61.0 ms ◀\x1b[0m
");
    let codes = ["\x1b[0m", "\x1b[1m", "\x1b[2m", "\x1b[31m", "\x1b[33m"];
    let bare = codes
        .iter()
        .fold(drawing, |drawing, code| drawing.replace(code, ""));
    assert_eq!(bare, draw(&[request()], &Options::default()));
}

#[test]
fn a_wide_terminal_has_the_header_on_one_line() {
    let options = Options {
        width: 100,
        ..Options::default()
    };
    assert_eq!(
        drawn(vec![ms(1, 0, "a", 0, 10)], &options),
        "\
shop  4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b  2023-11-14 22:13:20.000Z  1 span  0 errors  1.0 ms
  0                     250.0 µs              500.0 µs              750.0 µs                1.0 ms
a █████████████████████████████████████████████████████████████████████████████████████████ 1.0 ms
"
    );
}

#[test]
fn attributes_events_and_links_stand_below_their_span() {
    let list = ArrayValue {
        values: vec![
            AnyValue { value: None },
            AnyValue {
                value: Some(Value::StringValue("x".into())),
            },
        ],
    };
    let map = KeyValueList {
        values: vec![attribute("rate", Value::DoubleValue(1.0))],
    };
    let mut root = ms(1, 0, "GET /cart", 0, 100);
    root.attributes = vec![
        attribute("http.route", Value::StringValue("/cart".into())),
        attribute("http.response.status_code", Value::IntValue(500)),
        attribute("list", Value::ArrayValue(list)),
        attribute("map", Value::KvlistValue(map)),
        attribute("key", Value::BytesValue(vec![0, 255])),
    ];
    let mut query = failed(
        ms(2, 1, "SELECT price", 10, 90),
        "TimeoutError: \x1b[2Jgone",
    );
    let trace = "Traceback (most recent call last):\n  File \"shop.py\", line 3, in load_cart_from_the_database_of_the_shop\nTimeoutError";
    query.events = vec![Event {
        time_unix_nano: EPOCH_NS + 8_000_000,
        name: "exception".into(),
        attributes: vec![attribute(
            "exception.stacktrace",
            Value::StringValue(trace.into()),
        )],
        dropped_attributes_count: 0,
    }];
    query.links = vec![Link {
        trace_id: vec![1; 16],
        span_id: vec![2; 8],
        ..Link::default()
    }];
    let after = ms(3, 1, "render", 90, 100);
    let options = Options {
        attributes: true,
        ..Options::default()
    };
    assert_eq!(
        drawn(vec![root, query, after], &options),
        "\
shop  4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b  2023-11-14 22:13:20.000Z  3 spans
1 error  10.0 ms
                  0            2.5 ms       5.0 ms       7.5 ms        10.0 ms
GET /cart         ████████████████████████████████████████████████████ 10.0 ms
│  http.route = /cart
│  http.response.status_code = 500
│  list = [null, \"x\"]
│  map = {\"rate\": 1.0}
│  key = 0x00ff
├─ ✖ SELECT price      ██████████████████████████████████████████       8.0 ms ◀
│     ✖ TimeoutError: \\x1b[2Jgone
│     • exception +7.0 ms
│       exception.stacktrace = Traceback (most recent call last):
│           File \"shop.py\", line 3, in load_cart_from_the_database_of_the_shop
│         TimeoutError
│     → 01010101010101010101010101010101 0202020202020202
└─ render                                                       ██████  1.0 ms
"
    );
}

#[test]
fn odd_data_is_shown_and_named() {
    let spans = vec![
        ms(1, 0, "root", 100, 200),
        ms(2, 1, "clock behind", 50, 90),
        ms(2, 1, "same id", 110, 120),
        ms(3, 99, "parent missing", 120, 130),
        ms(4, 5, "chicken", 130, 140),
        ms(5, 4, "egg", 131, 139),
        ms(6, 1, "ends first", 150, 140),
        ms(7, 1, "instant", 200, 200),
    ];
    assert_eq!(
        drawn(spans, &Options::default()),
        "\
shop  4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b  2023-11-14 22:13:20.005Z  8 spans
0 errors  15.0 ms  1 orphan  1 parent cycle  1 repeated id
1 starts before its parent  1 ends before it starts
                 0            3.8 ms       7.5 ms       11.3 ms        15.0 ms
root                              ███████████████████████████████████  10.0 ms ◀
├─ clock behind  ░░░░░░░░░░░░░░                                         4.0 ms
├─ same id                           █████                              1.0 ms
├─ ends first                                      ▏                      0 ns
└─ instant                                                          ▏     0 ns
? parent missing                         ░░░░                           1.0 ms
? chicken                                   ░░░░░                       1.0 ms
└─ egg                                       ░░░                      800.0 µs
"
    );
}

#[test]
fn spans_of_other_services_say_whose_they_are() {
    let stock = vec![ms(2, 1, "GET /items", 10, 90), ms(3, 2, "SELECT", 20, 80)];
    let shop = vec![ms(1, 0, "GET /cart", 0, 100)];
    let drawing = draw(
        &[export("stock", stock), export("shop", shop)],
        &Options::default(),
    );
    assert_eq!(
        drawing,
        "\
shop, stock  4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b  2023-11-14 22:13:20.000Z  3 spans
0 errors  10.0 ms
                      0           2.5 ms      5.0 ms      7.5 ms       10.0 ms
GET /cart             ████████████████████████████████████████████████ 10.0 ms
└─ [stock] GET /items     ████████████████████████████████████████      8.0 ms
   └─ SELECT                   ██████████████████████████████           6.0 ms ◀
"
    );
}

#[test]
fn names_from_outside_can_neither_move_the_cursor_nor_break_the_columns() {
    let spans = vec![
        ms(1, 0, "\x1b[31mred\x07 alert", 0, 100),
        ms(2, 1, "line\nbreak", 0, 20),
        ms(3, 1, "購物車を読み込む処理とても長い名前です", 20, 60),
        ms(4, 1, "a name that is much too long for its column", 60, 90),
        ms(5, 1, "", 90, 100),
    ];
    assert_eq!(
        drawn(spans, &Options::default()),
        "\
shop  4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b  2023-11-14 22:13:20.000Z  5 spans
0 errors  10.0 ms
                                 0        2.5 ms   5.0 ms   7.5 ms     10.0 ms
\\x1b[31mred\\x07 alert            █████████████████████████████████████ 10.0 ms
├─ line\\nbreak                   ████████                               2.0 ms
├─ 購物車を読み込む処理とても長…        ████████████████                4.0 ms ◀
├─ a name that is much too long…                       ████████████     3.0 ms
└─ (no name)                                                      ████  1.0 ms
"
    );
}

#[test]
fn a_span_too_deep_for_guides_says_how_deep_it_is() {
    let spans = (1..=12)
        .map(|id| ms(id, id - 1, &format!("level {id}"), id, 100))
        .collect();
    assert_eq!(
        drawn(
            spans,
            &Options {
                width: 60,
                ..Options::default()
            }
        ),
        "\
shop  4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b
2023-11-14 22:13:20.000Z  12 spans  0 errors  9.9 ms
                    0      2.5 ms  5.0 ms  7.4 ms   9.9 ms
level 1             ███████████████████████████████ 9.9 ms
└─ level 2          ███████████████████████████████ 9.8 ms
   └─ level 3       ███████████████████████████████ 9.7 ms
      └─ level 4    ███████████████████████████████ 9.6 ms
         └─ level 5  ██████████████████████████████ 9.5 ms
…5 └─ level 6        ██████████████████████████████ 9.4 ms
…6 └─ level 7        ██████████████████████████████ 9.3 ms
…7 └─ level 8         █████████████████████████████ 9.2 ms
…8 └─ level 9         █████████████████████████████ 9.1 ms
…9 └─ level 10        █████████████████████████████ 9.0 ms
…10 └─ level 11        ████████████████████████████ 8.9 ms
…11 └─ level 12        ████████████████████████████ 8.8 ms ◀
"
    );
}

#[test]
fn traces_stand_one_below_the_other() {
    let spans = vec![
        ms(1, 0, "later", 50, 60).in_trace(2),
        ms(1, 0, "earlier", 0, 0).in_trace(1),
    ];
    assert_eq!(
        drawn(
            spans,
            &Options {
                width: 40,
                ..Options::default()
            }
        ),
        "\
shop  01010101010101010101010101010101
2023-11-14 22:13:20.000Z  1 span
0 errors  0 ns
        0                         0 ns
earlier ▏                         0 ns

shop  02020202020202020202020202020202
2023-11-14 22:13:20.005Z  1 span
0 errors  1.0 ms
      0           500.0 µs      1.0 ms
later █████████████████████████ 1.0 ms
"
    );
    assert_eq!(draw(&[], &Options::default()), "");
}

#[test]
fn a_chain_of_a_hundred_thousand_spans_is_drawn() {
    let spans = (1..=100_000)
        .map(|id| span(id, id - 1, "x", id, 200_000))
        .collect();
    let drawing = drawn(
        spans,
        &Options {
            attributes: true,
            ..Options::default()
        },
    );
    let last = drawing.lines().last().unwrap();
    assert!(last.starts_with("…99999 └─ x "), "{last}");
    assert_eq!(drawing.lines().count(), 100_003);
}
