// Logs numbered lines through pino-loki and winston-loki: loki.js pino|winston URL TOKEN COUNT
const [library, url, token, count] = process.argv.slice(2)

async function pino() {
    const { default: pino } = await import('pino')
    const { pinoLoki } = await import('pino-loki')
    const stream = pinoLoki({
        host: url,
        basicAuth: { username: 'anybody', password: token },
        labels: { namespace: 'shop', app: 'pino', pod: 'pod-pino' },
        batching: { interval: 1 },
        replaceTimestamp: false,
        silenceErrors: false,
    })
    const logger = pino({ level: 'info' }, stream)
    for (let number = 0; number < Number(count); number++) logger.warn({ number }, `order ${number}`)
    await new Promise((done) => {
        stream.on('close', done)
        stream.end()
    })
}

async function winston() {
    const { default: winston } = await import('winston')
    const { default: LokiTransport } = await import('winston-loki')
    for (const json of [true, false]) {
        const transport = new LokiTransport({
            host: url,
            basicAuth: `anybody:${token}`,
            labels: { namespace: 'shop', app: 'winston', pod: `pod-winston-${json ? 'json' : 'protobuf'}` },
            json,
            batching: true,
            interval: 1,
            gracefulShutdown: false,
            onConnectionError: (error) => {
                throw error
            },
        })
        const logger = winston.createLogger({ level: 'info', transports: [transport] })
        for (let number = 0; number < Number(count); number++) logger.warn(`order ${number}`, { number })
        await transport.flush()
    }
}

await (library === 'pino' ? pino() : winston())
process.exit(0)
