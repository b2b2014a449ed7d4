// The official TypeScript client against the bridge: node ts_client.mjs (stdio|http) (modern|handshake) …
import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio";

const [kind, era, ...rest] = process.argv.slice(2);
const versionNegotiation = { mode: era === "modern" ? { pin: "2026-07-28" } : "legacy" };
const client = new Client({ name: "ts-test", version: "1" }, { versionNegotiation });
const transport = kind === "http"
  ? new StreamableHTTPClientTransport(new URL(rest[0]), { requestInit: { headers: { authorization: `Bearer ${rest[1]}` } } })
  : new StdioClientTransport({ command: rest[0], args: rest.slice(1), env: process.env });

await client.connect(transport);
const tools = (await client.listTools()).tools.map((tool) => tool.name);
const call = async (name, args) => {
  const result = await client.callTool({ name, arguments: args });
  if (result.isError) throw new Error(JSON.stringify(result.content));
  return result.structuredContent;
};
await call("join", { room: "conformance" });
const sent = await call("send", { text: `hello from ${kind} ${era}` });
const found = await call("history", { room: "conformance", limit: 1 });
const resources = (await client.listResources()).resources.map((resource) => resource.uri);
const prompt = await client.getPrompt({ name: "standup", arguments: { room: "conformance" } });
let refused = "";
try { refused = (await client.callTool({ name: "send", arguments: { txt: "x" } })).content[0].text; } catch (error) { refused = String(error); }
console.log(JSON.stringify({
  tools, sent: sent.id, found: found.messages[0].id, text: found.messages[0].text, resources,
  prompt: prompt.messages.length, refused, version: client.getNegotiatedProtocolVersion?.() ?? "",
}));
await client.close();
