// A matrix of ROWS rows of UNITS units of 32 weights. Each field of a format's blocks lies apart, a
// plane, from a word on that is named like the field.
@group(0) @binding(1) var<storage, read> words: array<u32>;
@group(0) @binding(2) var<storage, read> quads: array<vec4<u32>>;  // the same bytes

const NIBBLES = vec4<u32>(0x0f0f0f0fu);
const BITS = vec4<u32>(0x01010101u);

// 32 weights, in order
struct Weights {
  low: mat4x4<f32>,
  high: mat4x4<f32>,
}

// 32 weights as int8 codes q, four to a word: scale * q + offset, one of each for 16 weights
struct Codes {
  low: vec4<u32>,
  high: vec4<u32>,
  scale: vec2<f32>,
  offset: vec2<f32>,
}

// Two float16 a word, element i from a plane's beginning.
fn half_at(plane: u32, i: u32) -> f32 {
  let both = unpack2x16float(words[plane + i / 2u]);
  return select(both.x, both.y, (i & 1u) == 1u);
}

fn byte_at(plane: u32, i: u32) -> u32 {
  return (words[plane + i / 4u] >> (8u * (i & 3u))) & 255u;
}

fn floats_of(codes: vec4<u32>) -> mat4x4<f32> {
  return mat4x4<f32>(
    vec4<f32>(unpack4xI8(codes.x)),
    vec4<f32>(unpack4xI8(codes.y)),
    vec4<f32>(unpack4xI8(codes.z)),
    vec4<f32>(unpack4xI8(codes.w)),
  );
}

// Products are written as `fma`, so that compilers round the same for one token and for several.
fn dot16(a: mat4x4<f32>, b: mat4x4<f32>) -> f32 {
  let sums = fma(a[3], b[3], fma(a[2], b[2], fma(a[1], b[1], a[0] * b[0])));
  return sums.x + sums.y + sums.z + sums.w;
}
