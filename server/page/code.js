// Colours for code: comments, texts, numbers, words of the language. It guides the eye and does
// not claim to parse; an unknown language is shown plain.

const words = (text) => new Set(text.split(" "));

const C = "break case const continue default do else enum extern for goto if return sizeof static struct switch typedef union void volatile while int char float double long short signed unsigned bool true false NULL nullptr auto class namespace template typename using public private protected virtual override new delete try catch throw this operator constexpr inline include define ifdef ifndef endif";
const OBJECTS = "abstract as base boolean byte case catch class const continue default do double else enum extends final finally float for foreach fun func guard if implements import in init int interface internal is let long match namespace new null nil object open override package private protected public readonly return sealed short static string struct super switch this throw throws trait true false try typealias using val var virtual void when where while yield async await self";
const LANGUAGES = {
  python: { comment: "#", texts: ["\"\"\"", "'''", "\"", "'"], words: words("False None True and as assert async await break case class continue def del elif else except finally for from global if import in is lambda match nonlocal not or pass raise return self try while with yield") },
  javascript: { comment: "//", block: true, texts: ["`", "\"", "'"], words: words("async await break case catch class const continue debugger default delete do else export extends false finally for from function if import in instanceof interface let new null of return static super switch this throw true try type typeof undefined var void while yield enum implements readonly keyof as number string boolean") },
  json: { texts: ["\""], words: words("true false null") },
  shell: { comment: "#", texts: ["\"", "'"], words: words("case do done elif else esac export fi for function if in local return set then until while echo cd source sudo exit") },
  c: { comment: "//", block: true, texts: ["\"", "'"], words: words(C) },
  object: { comment: "//", block: true, texts: ["\"\"\"", "\"", "'", "`"], words: words(OBJECTS) },
  go: { comment: "//", block: true, texts: ["`", "\"", "'"], words: words("break case chan const continue default defer else fallthrough for func go goto if import interface map package range return select struct switch type var nil true false string int int64 float64 error bool byte") },
  rust: { comment: "//", block: true, texts: ["\""], words: words("as async await break const continue crate dyn else enum extern false fn for if impl in let loop match mod move mut pub ref return self Self static struct super trait true type unsafe use where while i32 i64 u8 u32 u64 usize f32 f64 bool str String Vec Option Some None Ok Err") },
  sql: { comment: "--", block: true, texts: ["'", "\""], fold: true, words: words("select from where and or not in is null insert into values update set delete create table drop alter add index primary key foreign references join left right inner outer full on group by order having limit offset as distinct union all case when then else end exists between like with count sum avg min max begin commit rollback view default unique") },
  css: { block: true, texts: ["\"", "'"], words: words("important media import keyframes supports layer container from to") },
  config: { comment: "#", texts: ["\"", "'"], words: words("true false yes no null on off") },
  lua: { comment: "--", texts: ["\"", "'"], words: words("and break do else elseif end false for function goto if in local nil not or repeat return then true until while where let module import data type instance of") },
  ruby: { comment: "#", texts: ["\"", "'"], words: words("alias and begin break case class def do else elsif end ensure false for if in module next nil not or puts redo require rescue retry return self super then true undef unless until when while yield function library repeat TRUE FALSE NULL") },
  markup: { markup: true },
  diff: { diff: true },
};
const ALIASES = {
  py: "python", python3: "python", js: "javascript", jsx: "javascript", ts: "javascript",
  tsx: "javascript", typescript: "javascript", mjs: "javascript", jsonc: "json", jsonl: "json",
  bash: "shell", sh: "shell", zsh: "shell", console: "shell", dockerfile: "shell", h: "c", cpp: "c",
  "c++": "c", hpp: "c", cuda: "c", java: "object", kotlin: "object", swift: "object",
  csharp: "object", cs: "object", "c#": "object", scala: "object", dart: "object", php: "object",
  rs: "rust", golang: "go", mysql: "sql", postgresql: "sql", sqlite: "sql", scss: "css",
  less: "css", yaml: "config", yml: "config", toml: "config", ini: "config", makefile: "config",
  haskell: "lua", rb: "ruby", r: "ruby", julia: "ruby", elixir: "ruby", html: "markup",
  xml: "markup", svg: "markup", vue: "markup", patch: "diff",
};
const MOST = 60_000; // characters; longer code stays plain, so that the page stays quick
const patterns = new Map();

const quoted = (text) => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");

/** What a language's pieces look like; every group has the name of its colour. */
function pattern(name) {
  const known = patterns.get(name);
  if (known) return known;
  const language = LANGUAGES[name];
  let source;
  if (language.diff) source = "(?<added>^\\+.*$)|(?<removed>^-.*$)|(?<comment>^@@.*$)";
  else if (language.markup) {
    source =
      "(?<comment><!--[\\s\\S]*?(?:-->|$(?![\\s\\S])))|(?<keyword></?[A-Za-z][\\w:-]*|/?>)|" +
      "(?<string>\"[^\"\\n]*\"|'[^'\\n]*')|(?<name>[\\w:-]+(?==))";
  } else {
    const parts = [];
    const comments = [];
    if (language.comment) comments.push(`(?<![\\w$])${quoted(language.comment)}.*`);
    if (language.block) comments.push("/\\*[\\s\\S]*?(?:\\*/|$(?![\\s\\S]))");
    if (comments.length) parts.push(`(?<comment>${comments.join("|")})`);
    const texts = language.texts.map((mark) => {
      const lines = mark.length === 3 || mark === "`";
      const end = lines ? `(?:${mark}|$(?![\\s\\S]))` : `(?:${mark}|$)`;
      return lines ? `${mark}(?:\\\\[\\s\\S]|[^\\\\])*?${end}` : `${mark}(?:\\\\.|[^\\\\\\n${mark}])*${end}`;
    });
    parts.push(`(?<string>${texts.join("|")})`);
    parts.push("(?<number>\\b(?:0[xXbBoO][\\da-fA-F_]+|\\d[\\d_]*(?:\\.\\d+)?(?:[eE][+-]?\\d+)?)\\b)");
    parts.push("(?<call>[A-Za-z_$][\\w$]*(?=\\())|(?<word>[A-Za-z_$][\\w$]*)");
    source = parts.join("|");
  }
  const made = new RegExp(source, "gm");
  patterns.set(name, made);
  return made;
}

/** Code as nodes: texts, and spans whose class is a colour. */
export function coloured(code, language) {
  const wanted = language.toLowerCase();
  const name = Object.hasOwn(ALIASES, wanted) ? ALIASES[wanted] : wanted;
  if (!Object.hasOwn(LANGUAGES, name) || code.length > MOST) return [code];
  const { words: known, fold } = LANGUAGES[name];
  const nodes = [];
  let plain = 0; // where the plain text began that was not given out yet
  for (const match of code.matchAll(pattern(name))) {
    let kind = Object.keys(match.groups).find((group) => match.groups[group] !== undefined);
    const text = match[0];
    if (kind === "word" || kind === "call") {
      if (known.has(fold ? text.toLowerCase() : text)) kind = "keyword";
      else if (kind === "word") continue;
    }
    if (!text) continue;
    if (match.index > plain) nodes.push(code.slice(plain, match.index));
    const span = document.createElement("span");
    span.className = `c-${kind}`;
    span.textContent = text;
    nodes.push(span);
    plain = match.index + text.length;
  }
  if (plain < code.length) nodes.push(code.slice(plain));
  return nodes;
}
