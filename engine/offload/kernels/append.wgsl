// Write x (n, KV_HEADS, 2 * PAIRS) into the pages of its tokens.
@group(0) @binding(1) var<storage, read> x: array<vec2<f32>>;
@group(0) @binding(4) var<storage, read_write> pages: array<u32>;

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let at = linear(group) * LANES + lane;
  if (at >= run.n * KV_HEADS * PAIRS) {
    return;
  }
  let token = tokens[at / (KV_HEADS * PAIRS)];
  let head = at / PAIRS % KV_HEADS;
  let to = word_of(page_of(token, token.x), head, token.x, PAIRS) + at % PAIRS;
  pages[to] = pack2x16float(x[at]);
}
