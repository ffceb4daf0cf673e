//! Structured inputs made of bytes: the first sixteen are the seed of a strategy, the others are
//! edits of its result. So a fuzzer that changes one byte changes one place, and keeps the rest of
//! an interesting input.

use std::thread::LocalKey;

use arbitrary::{Result, Unstructured};
use proptest::strategy::{BoxedStrategy, Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::{Value, json};

/// A strategy that is built once per thread; building one takes longer than drawing from it.
pub(crate) type Generator<T> = BoxedStrategy<T>;

const SEED_BYTES: usize = 16;
const MOST_EDITS: usize = 8;
const TEXTS: [&str; 16] = [
    "",
    "web",
    "shop",
    "auto",
    "5s",
    "enabled",
    "Always",
    "nginx:1.15",
    "extend",
    "None",
    "100%",
    "80",
    "é\u{0}",
    "sleep 5",
    "9223372036854775808",
    "prestop.dev/delay",
];

/// Returns the value that the strategy draws from the seed, and the choices after the seed.
pub(crate) fn generated<'b, T: std::fmt::Debug>(
    generator: &'static LocalKey<Generator<T>>,
    bytes: &'b [u8],
) -> Option<(T, Unstructured<'b>)> {
    let (seed, rest) = bytes.split_at(bytes.len().min(SEED_BYTES));
    let mut whole = [1; SEED_BYTES];
    whole[..seed.len()].copy_from_slice(seed);
    let random = TestRng::from_seed(RngAlgorithm::XorShift, &whole);
    let mut runner = TestRunner::new_with_rng(Config::default(), random);
    let drawn = generator.with(|strategy| Some(strategy.new_tree(&mut runner).ok()?.current()))?;
    Some((drawn, Unstructured::new(rest)))
}

/// Replaces a few places in a value, as long as there are choices.
pub(crate) fn edit(value: &mut Value, choices: &mut Unstructured<'_>) {
    for _ in 0..MOST_EDITS {
        if choices.is_empty() || one_edit(value, choices).is_err() {
            return;
        }
    }
}

fn one_edit(value: &mut Value, choices: &mut Unstructured<'_>) -> Result<()> {
    let mut place = value;
    loop {
        let children = match place {
            Value::Array(items) => items.len(),
            Value::Object(members) => members.len(),
            _ => 0,
        };
        if children == 0 || choices.ratio(1, 6)? {
            break;
        }
        let index = choices.choose_index(children)?;
        match place {
            Value::Array(items) if choices.ratio(1, 20)? => {
                let copy = items[index].clone();
                items.push(copy);
                return Ok(());
            }
            Value::Object(members) if choices.ratio(1, 20)? => {
                if choices.ratio(1, 2)? {
                    let key = members.keys().nth(index).cloned();
                    members.shift_remove(key.as_deref().unwrap_or_default());
                } else {
                    members.insert((*choices.choose(&TEXTS)?).to_owned(), odd(choices)?);
                }
                return Ok(());
            }
            Value::Array(items) => place = &mut items[index],
            Value::Object(members) => {
                let Some((_, member)) = members.iter_mut().nth(index) else { return Ok(()) };
                place = member;
            }
            _ => return Ok(()),
        }
    }
    *place = odd(choices)?;
    Ok(())
}

fn odd(choices: &mut Unstructured<'_>) -> Result<Value> {
    Ok(match choices.int_in_range(0..=11)? {
        0 => Value::Null,
        1 => choices.arbitrary::<bool>()?.into(),
        2 => choices.arbitrary::<i64>()?.into(),
        3 => choices.int_in_range(-1..=130_i64)?.into(),
        4 => 1e300.into(),
        5 => json!([]),
        6 => json!({}),
        7 => json!([{}]),
        8 => choices.arbitrary::<&str>()?.into(),
        _ => (*choices.choose(&TEXTS)?).into(),
    })
}
