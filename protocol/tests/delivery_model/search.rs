//! Going through every state that can be reached, breadth first.
//!
//! A state is kept as the 64-bit hash of all that it holds; the whole ones are only those still to be gone
//! through. That two states fall together is improbable (1 in 10^5 for 20 million states), and would hide
//! states, and not invent a violation: what is found is found again along its path.

use std::{
    collections::{BTreeSet, HashMap, VecDeque, hash_map::Entry},
    fmt,
    hash::{BuildHasherDefault, Hash, Hasher},
};

use crate::{
    bounds::Bounds,
    history::Says,
    properties::Property,
    renaming::each_renaming,
    rules::Rules,
    world::{Ctx, Edge, Kind, Label, World},
};

/// What a search went through.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) states: usize,
    pub(crate) steps: usize,
    /// Of the longest shortest path.
    pub(crate) depth: u32,
    /// States in which the job is over and nobody has anything left to do.
    pub(crate) ends: usize,
    /// What the last record says in them.
    pub(crate) endings: BTreeSet<Says>,
    pub(crate) violation: Option<Violation>,
}

/// A property that does not hold, and the shortest way to see it.
pub(crate) struct Violation {
    pub(crate) property: Property,
    pub(crate) path: Vec<Label>,
    pub(crate) world: World,
}

impl fmt::Debug for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:?} does not hold:", self.property)?;
        for label in &self.path {
            writeln!(f, "  {label}")?;
        }
        write!(f, "{:#?}", self.world)
    }
}

/// A hash of a hash is that hash.
#[derive(Default)]
struct AsIs(u64);

impl Hasher for AsIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("only u64 is written")
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }
}

/// A quick hash of many small values: eight at a time are mixed in by the two halves of a wide product.
#[derive(Default)]
struct Mix {
    mixed: u64,
    waiting: u64,
    count: u32,
}

impl Mix {
    fn mix(&mut self) {
        let value = self.mixed.rotate_left(23) ^ self.waiting ^ 0x2545_f491_4f6c_dd1d;
        let product = u128::from(value) * 0x9e37_79b9_7f4a_7c15;
        self.mixed = (product >> 64) as u64 ^ product as u64;
        (self.waiting, self.count) = (0, 0);
    }
}

impl Hasher for Mix {
    fn finish(&self) -> u64 {
        let mut last = Self { ..*self };
        last.mix();
        last.mix();
        last.mixed
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u8(*byte));
    }

    fn write_u8(&mut self, value: u8) {
        self.waiting = self.waiting << 8 | u64::from(value);
        self.count += 1;
        if self.count == 8 {
            self.mix();
        }
    }

    /// A length, or which of an enum's cases: never more than a byte's worth here.
    fn write_usize(&mut self, value: usize) {
        self.write_u8(value as u8);
    }

    fn write_isize(&mut self, value: isize) {
        self.write_u8(value as u8);
    }
}

/// The same for worlds that differ only in which of equal processes is which.
fn print_of(world: &World, ctx: &Ctx<'_>) -> u64 {
    let print = |world: &World| {
        let mut mix = Mix::default();
        world.hash(&mut mix);
        mix.finish()
    };
    let mut least = print(world);
    each_renaming(world, ctx, |other| least = least.min(print(other)));
    least
}

/// The states found so far, numbered in the order in which they were.
#[derive(Default)]
struct Graph {
    numbers: HashMap<u64, u32, BuildHasherDefault<AsIs>>,
    prints: Vec<u64>,
    parents: Vec<u32>,
    /// Where each state's helpful and mending steps lead, one state after the other.
    helpful: Vec<(u32, Kind)>,
    /// Where in `helpful` each state's begin.
    begins: Vec<usize>,
    ends: Vec<bool>,
    /// Those with a result; and the states in which nothing has gone wrong.
    results: Vec<bool>,
    quiet: Vec<bool>,
}

impl Graph {
    fn number(&mut self, world: &World, ctx: &Ctx<'_>, parent: u32) -> (u32, bool) {
        let print = print_of(world, ctx);
        let next = u32::try_from(self.prints.len()).unwrap();
        match self.numbers.entry(print) {
            Entry::Occupied(place) => (*place.get(), false),
            Entry::Vacant(place) => {
                place.insert(next);
                self.prints.push(print);
                self.parents.push(parent);
                (next, true)
            }
        }
    }

    /// The first of some states from which no steps of these kinds lead to where it is good.
    fn stuck(&self, of: impl Fn(usize) -> bool, mut good: Vec<bool>, kinds: &[Kind]) -> Option<u32> {
        loop {
            let mut changed = false;
            for state in (0..good.len()).rev() {
                let until = self.begins.get(state + 1).copied().unwrap_or(self.helpful.len());
                let leads = |(next, kind): &(u32, Kind)| {
                    good[usize::try_from(*next).unwrap()] && kinds.contains(kind)
                };
                if !good[state] && self.helpful[self.begins[state]..until].iter().any(leads) {
                    good[state] = true;
                    changed = true;
                }
            }
            if !changed {
                let stuck = (0..good.len()).find(|state| of(*state) && !good[*state])?;
                return u32::try_from(stuck).ok();
            }
        }
    }

    /// What is not in reach from where it has to be.
    fn out_of_reach(&self, bounds: &Bounds) -> Option<(Property, u32)> {
        let end = self.stuck(|_| true, self.ends.clone(), &[Kind::Helps, Kind::Mends]);
        if let Some(state) = end {
            return Some((Property::AnEndIsInReach, state));
        }
        if bounds.refused || bounds.cannot_start {
            return None;
        }
        let result = self.stuck(|state| self.quiet[state], self.results.clone(), &[Kind::Helps]);
        result.map(|state| (Property::AResultIsInReach, state))
    }

    /// The numbers on the way to a state, without the first one.
    fn way(&self, mut state: u32) -> Vec<u32> {
        let mut way = Vec::new();
        while state != 0 {
            way.push(state);
            state = self.parents[usize::try_from(state).unwrap()];
        }
        way.reverse();
        way
    }

    /// Goes a way again.
    fn path(&self, ctx: &Ctx<'_>, to: u32) -> (Vec<Label>, World) {
        let mut world = World::new(ctx.bounds);
        let mut labels = Vec::new();
        for number in self.way(to) {
            let print = self.prints[usize::try_from(number).unwrap()];
            let edge = world.steps(ctx).into_iter().find(|edge| print_of(&edge.to, ctx) == print).unwrap();
            labels.push(edge.label);
            world = edge.to;
        }
        (labels, world)
    }
}

/// Goes through all that can happen within the bounds, until a property does not hold.
pub(crate) fn explore(bounds: &Bounds, rules: &Rules) -> Found {
    let ctx = Ctx { bounds, rules };
    let mut graph = Graph::default();
    let first = World::new(bounds);
    graph.number(&first, &ctx, 0);
    let mut waiting = VecDeque::from([(0, 0, first)]);
    let (mut steps, mut deepest) = (0, 0);
    let mut violation = None;
    let mut endings = BTreeSet::new();
    'all: while let Some((number, depth, world)) = waiting.pop_front() {
        deepest = depth;
        graph.begins.push(graph.helpful.len());
        let ending = world.ending();
        endings.extend(ending);
        graph.ends.push(ending.is_some());
        graph.results.push(ending == Some(Says::Closed));
        graph.quiet.push(world.left == bounds.left);
        for Edge { label, kind, to } in world.steps(&ctx) {
            steps += 1;
            if let Some(property) = to.broken {
                let (mut path, _) = graph.path(&ctx, number);
                path.push(label);
                violation = Some(Violation { property, path, world: to });
                break 'all;
            }
            let (next, is_new) = graph.number(&to, &ctx, number);
            if kind != Kind::Harms && next != number {
                graph.helpful.push((next, kind));
            }
            if is_new {
                waiting.push_back((next, depth + 1, to));
            }
        }
    }
    if violation.is_none()
        && let Some((property, state)) = graph.out_of_reach(bounds)
    {
        let (path, world) = graph.path(&ctx, state);
        violation = Some(Violation { property, path, world });
    }
    let ends = graph.ends.iter().filter(|end| **end).count();
    Found { states: graph.prints.len(), steps, depth: deepest, ends, endings, violation }
}
