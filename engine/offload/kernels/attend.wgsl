// Attention of one head and a tile of tokens to the positions of one piece of SPAN: a workgroup. What
// it finds is not yet divided by its sum of shares, (most, sum) of `peaks`: Milakov and Gimelshein
// 2018, arXiv:1805.02867. A page at a time, a position to each lane; keys and values are read once
// for all GROUPS * WIDE tokens of the tile, and what a token gets does not depend on the others.
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(4) var<storage, read> keys: array<u32>;
@group(0) @binding(5) var<storage, read> values: array<u32>;
@group(0) @binding(8) var<storage, read> slopes: array<f32>;  // of heads, if SLOPES

const NONE: f32 = -1e30f;
const PARTS: u32 = (VALUE_PAIRS + LANES - 1u) / LANES;
var<workgroup> even: array<Each, GROUPS * KEY_PAIRS>;  // of the queries
var<workgroup> odd: array<Each, GROUPS * KEY_PAIRS>;
var<workgroup> shares: array<Each, GROUPS * LANES>;

// The first position that a token at `place` reads.
fn begin_of(place: u32) -> u32 {
  var begin = 0u;
  if (WINDOW > 0u && place >= WINDOW) {
    begin = place + 1u - WINDOW;
  }
  if (CHUNK > 0u) {
    begin = max(begin, place / max(CHUNK, 1u) * CHUNK);
  }
  return begin;
}

fn scored(dots: Each, head: u32, position: u32, place: Place) -> Each {
  var score = dots;
  if (SOFTCAP > 0f) {
    score = SOFTCAP * tanh(clamp(score / max(SOFTCAP, 1e-6f), Each(-15f), Each(15f)));
  }
  if (SLOPES) {
    score -= slopes[head] * Each(place - Place(position));
  }
  var seen = Place(position) <= place;
  if (WINDOW > 0u) {
    seen = seen & (Place(position + WINDOW) > place);
  }
  if (CHUNK > 0u) {
    seen = seen & (Place(position / max(CHUNK, 1u)) == place / Place(max(CHUNK, 1u)));
  }
  return select(Each(NONE), score, seen);
}

@compute @workgroup_size(LANES)
fn main(lane: Lane) {
  let head = lane.group.x;
  let split = lane.group.y;
  let tile = tokens[lane.group.z].zw;
  let last = tile.x + tile.y - 1u;
  let kv_head = head / (HEADS / KV_HEADS);
  for (var i = lane.index; i < GROUPS * KEY_PAIRS; i += LANES) {
    let first = min(tile.x + i / KEY_PAIRS * WIDE, last);
    let at = 2u * (head * KEY_PAIRS + i % KEY_PAIRS);
    even[i] = SCALE * values_of(first, last, at);
    odd[i] = SCALE * values_of(first, last, at + 1u);
  }
  workgroupBarrier();
  var place: array<Place, GROUPS>;
  var most: array<Each, GROUPS>;
  var sum: array<Each, GROUPS>;
  var left: array<Each, GROUPS * PARTS>;
  var right: array<Each, GROUPS * PARTS>;
  for (var g = 0u; g < GROUPS; g++) {
    place[g] = places(min(tile.x + g * WIDE, last), last);
    most[g] = Each(NONE);
  }
  let begin = max(split * SPAN, begin_of(tokens[tile.x].x));
  let end = min(tokens[last].x + 1u, (split + 1u) * SPAN);
  for (var first = begin / PAGE * PAGE; first < end; first += PAGE) {
    let page = page_of(tokens[tile.x].y, first);
    let position = first + lane.index;
    let seen = position >= begin && position < end;
    var score = array<Each, GROUPS>();  // anew for each page: naga zeroes a plain `var` but once
    if (seen) {
      let at = word_of(page, kv_head, position, KEY_PAIRS);
      for (var i = 0u; i < KEY_PAIRS; i++) {
        let key = unpack2x16float(keys[at + i]);
        for (var g = 0u; g < GROUPS; g++) {
          score[g] += even[g * KEY_PAIRS + i] * key.x + odd[g * KEY_PAIRS + i] * key.y;
        }
      }
    }
    var shrink: array<Each, GROUPS>;
    workgroupBarrier();
    for (var g = 0u; g < GROUPS; g++) {
      let mine = select(Each(NONE), scored(score[g], head, position, place[g]), seen);
      let peak = max(most[g], most_of(mine, lane));
      let share = select(Each(0f), exp(mine - peak), mine > Each(NONE));
      shrink[g] = exp(most[g] - peak);
      sum[g] = sum[g] * shrink[g] + sum_of(share, lane);
      most[g] = peak;
      shares[g * LANES + lane.index] = share;
    }
    workgroupBarrier();
    let skipped = max(begin, first) - first;
    let to = min(end - first, PAGE);
    for (var part = 0u; part < PARTS; part++) {
      let pair = part * LANES + lane.index;
      if (pair < VALUE_PAIRS) {
        for (var g = 0u; g < GROUPS; g++) {
          left[g * PARTS + part] *= shrink[g];
          right[g * PARTS + part] *= shrink[g];
        }
        let at = word_of(page, kv_head, first, VALUE_PAIRS) + pair;
        for (var i = skipped; i < to; i++) {
          let value = unpack2x16float(values[at + i * VALUE_PAIRS]);
          for (var g = 0u; g < GROUPS; g++) {
            left[g * PARTS + part] += shares[g * LANES + i] * value.x;
            right[g * PARTS + part] += shares[g * LANES + i] * value.y;
          }
        }
      }
    }
  }
  for (var i = 0u; i < GROUPS * WIDE; i++) {
    let g = i / WIDE;
    let row = ((tile.x + i) * HEADS + head) * run.n_splits + split;
    if (i < tile.y) {
      for (var part = 0u; part < PARTS; part++) {
        let pair = part * LANES + lane.index;
        if (pair < VALUE_PAIRS) {
          let at = g * PARTS + part;
          found[row * VALUE_PAIRS + pair] =
            vec2(one_of(left[at], i % WIDE), one_of(right[at], i % WIDE));
        }
      }
      if (lane.index == 0u) {
        peaks[row] = vec2(one_of(most[g], i % WIDE), one_of(sum[g], i % WIDE));
      }
    }
  }
  if (run.n_splits == 1u) {
    storageBarrier();
    for (var i = 0u; i < tile.y; i++) {
      merge(tile.x + i, head, lane.index);
    }
  }
}
