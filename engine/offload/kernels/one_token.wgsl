// A value for each of the tokens that `attend` has at once: one.
const WIDE: u32 = 1u;
alias Each = f32;
alias Place = u32;

fn places(first: u32, last: u32) -> Place {
  return tokens[first].x;
}

fn values_of(first: u32, last: u32, i: u32) -> Each {
  return value(first, i);
}

fn most_of(mine: Each, lane: Lane) -> Each {
  return max_of_lanes(vec4(mine), lane).x;
}

fn sum_of(mine: Each, lane: Lane) -> Each {
  return sum_of_lanes(vec4(mine), lane).x;
}

fn one_of(each: Each, i: u32) -> f32 {
  return each;
}
