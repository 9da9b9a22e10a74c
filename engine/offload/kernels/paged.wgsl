// Pages hold PAGE positions of every KV head, two float16 to a word.
@group(0) @binding(2) var<storage, read> tokens: array<vec2<u32>>;  // position, first of its pages
@group(0) @binding(3) var<storage, read> tables: array<u32>;  // the pages of sequences, in order

fn page_of(token: vec2<u32>, position: u32) -> u32 {
  return tables[token.y + position / PAGE];
}

// The first word of `position`, of `pairs` words, in a page.
fn word_of(page: u32, head: u32, position: u32, pairs: u32) -> u32 {
  return ((page * KV_HEADS + head) * PAGE + position % PAGE) * pairs;
}
