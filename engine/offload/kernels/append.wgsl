// Write x (n, KV_HEADS, 2 * KEY_PAIRS), through `value`, into the pages of its tokens, and z.
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(3) var<storage, read> z: array<vec2<f32>>;  // (n, KV_HEADS, VALUE_PAIRS)
@group(0) @binding(4) var<storage, read_write> keys: array<u32>;
@group(0) @binding(5) var<storage, read_write> values: array<u32>;

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let pairs = KV_HEADS * (KEY_PAIRS + VALUE_PAIRS);
  let at = linear(group) * LANES + lane;
  if (at >= run.n * pairs) {
    return;
  }
  let t = at / pairs;
  let position = tokens[t].x;
  let page = page_of(tokens[t].y, position);
  let i = at % pairs;
  if (i < KV_HEADS * KEY_PAIRS) {
    let to = word_of(page, i / KEY_PAIRS, position, KEY_PAIRS) + i % KEY_PAIRS;
    keys[to] = pack2x16float(vec2(value(t, 2u * i), value(t, 2u * i + 1u)));
  } else {
    let j = i - KV_HEADS * KEY_PAIRS;
    let to = word_of(page, j / VALUE_PAIRS, position, VALUE_PAIRS) + j % VALUE_PAIRS;
    values[to] = pack2x16float(z[t * KV_HEADS * VALUE_PAIRS + j]);
  }
}
