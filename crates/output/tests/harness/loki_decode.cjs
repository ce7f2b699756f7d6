// Reads a push of Loki's on its standard input, as winston-loki's copy of logproto.proto has it, and prints it as JSON:
// loki_decode.cjs MODULES
const { logproto } = require(`${process.argv[2]}/winston-loki/src/proto`)
const snappy = require(`${process.argv[2]}/snappy`)

const chunks = []
process.stdin.on('data', (chunk) => chunks.push(chunk))
process.stdin.on('end', () => {
    const push = logproto.PushRequest.decode(snappy.uncompressSync(Buffer.concat(chunks)))
    const nanos = ({ seconds, nanos }) => (BigInt(String(seconds)) * 1_000_000_000n + BigInt(nanos || 0)).toString()
    const values = (entries) => entries.map(({ timestamp, line }) => [nanos(timestamp), line])
    console.log(JSON.stringify(push.streams.map(({ labels, entries }) => ({ labels, values: values(entries) }))))
})
