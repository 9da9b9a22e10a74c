// A value for each of the tokens that `attend` has at once: four.
const WIDE: u32 = 4u;
alias Each = vec4<f32>;
alias Place = vec4<u32>;

fn four(first: u32, last: u32) -> vec4<u32> {
  return min(vec4(first) + vec4(0u, 1u, 2u, 3u), vec4(last));
}

fn places(first: u32, last: u32) -> Place {
  let t = four(first, last);
  return vec4(tokens[t.x].x, tokens[t.y].x, tokens[t.z].x, tokens[t.w].x);
}

fn values_of(first: u32, last: u32, i: u32) -> Each {
  let t = four(first, last);
  return vec4(value(t.x, i), value(t.y, i), value(t.z, i), value(t.w, i));
}

fn most_of(mine: Each, lane: Lane) -> Each {
  return max_of_lanes(mine, lane);
}

fn sum_of(mine: Each, lane: Lane) -> Each {
  return sum_of_lanes(mine, lane);
}

fn one_of(each: Each, i: u32) -> f32 {
  return each[i];
}
