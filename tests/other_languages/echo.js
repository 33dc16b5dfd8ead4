// Talks to an echo server with Node's own WebSocket. Arguments: URL, and a
// subprotocol to offer, if any. Ends with status 0 if all came back.

const [url, subprotocol] = process.argv.slice(2);
const sizes = [0, 1, 125, 126, 65535, 65536, 200000];
const messages = sizes.flatMap((size) => [
  "ß".repeat(size / 2),
  Uint8Array.from({ length: size }, (_, i) => i % 251),
]);

function fail(why) {
  console.error(why);
  process.exit(1);
}

function same(sent, received) {
  if (typeof sent === "string") return sent === received;
  return received instanceof ArrayBuffer && Buffer.compare(sent, Buffer.from(received)) === 0;
}

const socket = new WebSocket(url, subprotocol ? [subprotocol] : []);
socket.binaryType = "arraybuffer";
let echoes = 0;

socket.onopen = () => {
  if (socket.protocol !== (subprotocol ?? "")) fail(`subprotocol: ${socket.protocol}`);
  messages.forEach((message) => socket.send(message));
};
socket.onmessage = ({ data }) => {
  if (!same(messages[echoes], data)) fail(`message ${echoes} came back altered`);
  echoes += 1;
  if (echoes === messages.length) socket.close(3456, "enough");
};
socket.onerror = (event) => fail(event.message ?? event.error ?? "an error");
socket.onclose = ({ code, wasClean }) => {
  if (code !== 3456 || !wasClean) fail(`closed with ${code}`);
  console.log(`${echoes} echoes, extensions: ${socket.extensions}`);
};
