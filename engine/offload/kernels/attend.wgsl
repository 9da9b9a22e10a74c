// Attention of one head and token to the positions of one piece of SPAN: a workgroup. What it finds
// is not yet divided by its sum of shares, (most, sum) of `peaks`: Milakov and Gimelshein 2018,
// arXiv:1805.02867. A page at a time, a position to each lane.
@group(0) @binding(1) var<storage, read> queries: array<vec2<f32>>;
@group(0) @binding(4) var<storage, read> keys: array<u32>;
@group(0) @binding(5) var<storage, read> values: array<u32>;
@group(0) @binding(8) var<storage, read> slopes: array<f32>;  // of heads, if SLOPES
@group(0) @binding(6) var<storage, read_write> found: array<vec2<f32>>;
@group(0) @binding(7) var<storage, read_write> peaks: array<vec2<f32>>;

const NONE: f32 = -1e30f;
const PARTS: u32 = (VALUE_PAIRS + LANES - 1u) / LANES;
var<workgroup> query: array<vec2<f32>, KEY_PAIRS>;
var<workgroup> shares: array<f32, LANES>;

@compute @workgroup_size(LANES)
fn main(lane: Lane) {
  let head = lane.group.x;
  let split = lane.group.y;
  let t = lane.group.z;
  let token = tokens[t];
  let kv_head = head / (HEADS / KV_HEADS);
  for (var i = lane.index; i < KEY_PAIRS; i += LANES) {
    query[i] = SCALE * queries[(t * HEADS + head) * KEY_PAIRS + i];
  }
  workgroupBarrier();
  let end = min(token.x + 1u, (split + 1u) * SPAN);
  var begin = split * SPAN;
  if (WINDOW > 0u && token.x >= WINDOW) {
    begin = max(begin, token.x + 1u - WINDOW);
  }
  if (CHUNK > 0u) {
    begin = max(begin, token.x / max(CHUNK, 1u) * CHUNK);
  }
  var most = NONE;
  var sum = 0f;
  var mine: array<vec2<f32>, PARTS>;
  for (var first = begin / PAGE * PAGE; first < end; first += PAGE) {
    let page = page_of(token, first);
    let position = first + lane.index;
    var score = NONE;
    if (position >= begin && position < end) {
      let at = word_of(page, kv_head, position, KEY_PAIRS);
      score = 0f;
      for (var i = 0u; i < KEY_PAIRS; i++) {
        score += dot(query[i], unpack2x16float(keys[at + i]));
      }
      if (SOFTCAP > 0f) {
        score = SOFTCAP * tanh(clamp(score / max(SOFTCAP, 1e-6f), -15f, 15f));
      }
      if (SLOPES) {
        score -= slopes[head] * f32(token.x - position);
      }
    }
    let peak = max(most, max_of_lanes(score, lane));
    let share = select(0f, exp(score - peak), score > NONE);
    let shrink = exp(most - peak);
    sum = sum * shrink + sum_of_lanes(vec4(share), lane).x;
    most = peak;
    workgroupBarrier();
    shares[lane.index] = share;
    workgroupBarrier();
    let skipped = max(begin, first) - first;
    let to = min(end - first, PAGE);
    for (var part = 0u; part < PARTS; part++) {
      let pair = part * LANES + lane.index;
      if (pair < VALUE_PAIRS) {
        var total = mine[part] * shrink;
        let at = word_of(page, kv_head, first, VALUE_PAIRS) + pair;
        for (var i = skipped; i < to; i++) {
          total += shares[i] * unpack2x16float(values[at + i * VALUE_PAIRS]);
        }
        mine[part] = total;
      }
    }
  }
  let row = (t * HEADS + head) * run.n_splits + split;
  for (var part = 0u; part < PARTS; part++) {
    let pair = part * LANES + lane.index;
    if (pair < VALUE_PAIRS) {
      found[row * VALUE_PAIRS + pair] = mine[part];
    }
  }
  if (lane.index == 0u) {
    peaks[row] = vec2(most, sum);
  }
}
