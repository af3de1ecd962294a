// What a build's own declarations (its .d.ts files, as tsc writes them) say its calls answer, and whether an answer is that.
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";

// Answers that differ from the declarations on purpose; README.md says why. One that no answer shows any more is an error too.
const ON_PURPOSE = ["Order.status", "Withdrawal.status", "Dispute.evidence"];

/** {calls: Map("orders.get" → type), types: Map(name → enum's values or object's fields)} of everything that is declared. */
export function declarations(main) {
  const folder = dirname(main);
  const files = readdirSync(folder, { recursive: true }).filter((name) => name.endsWith(".d.ts"));
  const source = files.map((name) => readFileSync(join(folder, name), "utf8").replace(/\/\*[^]*?\*\//g, "")).join("\n");
  const types = new Map();
  for (const [, name, body] of source.matchAll(/enum (\w+) \{([^}]*)\}/g)) {
    types.set(name, { values: [...body.matchAll(/"([^"]*)"/g)].map(([, value]) => value) });
  }
  for (const found of source.matchAll(/interface (\w+)(?:<(\w+)>)?[^{]*(?=\{)/g)) {
    types.set(found[1], { ...new Parser(source.slice(found.index + found[0].length)).type(), parameter: found[2] });
  }
  const calls = new Map();
  for (const [, property, resource] of source.matchAll(/readonly (\w+): (\w+Resource);/g)) {
    const [, body] = source.match(new RegExp(`class ${resource} [^{]*\\{([^]*?)\\n\\}`));
    for (const [, method, answer] of body.matchAll(/(\w+)\([^)]*\): Promise<(.*)>;/g)) {
      calls.set(`${property}.${method}`, new Parser(answer).type());
    }
  }
  return { calls, types };
}

/** The part of TypeScript's types that such clients declare: objects, arrays, unions, literals, names with an argument. */
class Parser {
  constructor(text) {
    this.tokens = text.matchAll(/'[^']*'|"[^"]*"|[\w$]+|\S/g);
    this.next();
  }

  next() {
    const { token } = this;
    this.token = this.tokens.next().value?.[0];
    return token;
  }

  skip(token) {
    const found = this.token === token;
    if (found) this.next();
    return found;
  }

  type() {
    const union = [this.array()];
    while (this.skip("|")) union.push(this.array());
    return union.length === 1 ? union[0] : { union };
  }

  array() {
    let type = this.single();
    while (this.skip("[")) {
      this.next();
      type = { items: type };
    }
    return type;
  }

  single() {
    if (this.skip("{")) return { fields: this.fields() };
    const name = this.next();
    if (/^['"]/.test(name)) return { values: [name.slice(1, -1)] };
    const given = [];
    if (this.skip("<")) {
      do given.push(this.type());
      while (this.skip(","));
      this.next();
    }
    return { name, argument: given[0] };
  }

  fields() {
    const fields = [];
    while (!this.skip("}")) {
      const name = this.next();
      const isOptional = this.skip("?");
      this.skip(":");
      fields.push({ name, isOptional, type: this.type() });
      this.skip(";");
    }
    return fields;
  }
}

/** Checks answers against what is declared, and remembers which calls were made. */
export class Witness {
  constructor(declared) {
    this.declared = declared;
    this.made = new Set();
    this.differed = new Set();
  }

  /** The same client; an answer that is not what its call declares is thrown as an error. */
  watch(sdk) {
    const resources = [...new Set([...this.declared.calls.keys()].map((call) => call.split(".")[0]))];
    return Object.fromEntries(resources.map((name) => [name, new Proxy(sdk[name], { get: (target, method) => this.watched(target, name, method) })]));
  }

  watched(target, resource, method) {
    const call = `${resource}.${String(method)}`;
    const type = this.declared.calls.get(call);
    if (!type) return target[method];
    return async (...given) => {
      this.made.add(call);
      const answer = await target[method](...given);
      const wrong = this.wrong(answer, type, call);
      if (wrong.length) throw new Error(`${call} is not what it declares: ${wrong.join("; ")} in ${JSON.stringify(answer)}`);
      return answer;
    };
  }

  wrong(value, type, where) {
    if (type.union) return type.union.some((one) => !this.wrong(value, one, where).length) ? [] : [`${where} is ${JSON.stringify(value)}`];
    if (type.values) return type.values.includes(value) ? [] : [`${where} is ${JSON.stringify(value)}`];
    if (type.items) return Array.isArray(value) ? value.flatMap((one) => this.wrong(one, type.items, where)) : [`${where} is no array`];
    if (type.fields) return this.wrongFields(value, type.fields, where);
    if (["any", "unknown", "Record"].includes(type.name)) return [];
    const known = this.declared.types.get(type.name);
    if (!known) return typeof value === type.name ? [] : [`${where} is ${JSON.stringify(value)}, not a ${type.name}`];
    return this.wrong(value, given(known, type.argument), type.name);
  }

  wrongFields(value, fields, where) {
    if (typeof value !== "object" || value === null) return [`${where} is no object`];
    return fields.flatMap(({ name, isOptional, type }) => {
      if (isOptional && (value[name] ?? null) === null) return [];
      const wrong = this.wrong(value[name], type, `${where}.${name}`);
      const isThere = (value[name] ?? null) !== null;
      if (!wrong.length || !isThere || !ON_PURPOSE.includes(`${where}.${name}`)) return wrong;
      this.differed.add(`${where}.${name}`);
      return [];
    });
  }

  /** What is declared and was never called, and what should differ and never did. */
  missing(outOfScope) {
    const unmade = [...this.declared.calls.keys()].filter((call) => !this.made.has(call) && !outOfScope.some((one) => call.startsWith(one)));
    return [...unmade, ...ON_PURPOSE.filter((field) => !this.differed.has(field))];
  }
}

/** A generic object with its parameter replaced by the argument. */
function given(type, argument) {
  if (!type.parameter) return type;
  const replaced = (one) => (one.items ? { items: replaced(one.items) } : one.name === type.parameter ? argument : one);
  return { fields: type.fields.map((field) => ({ ...field, type: replaced(field.type) })) };
}
