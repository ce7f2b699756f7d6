// Logs numbered lines through pino-elasticsearch, or splunk-logging: others.js elasticsearch|splunk URL TOKEN COUNT
const [library, url, token, count] = process.argv.slice(2)

async function elasticsearch() {
    const { default: pino } = await import('pino')
    const { default: pinoElasticsearch } = await import('pino-elasticsearch')
    const stream = pinoElasticsearch({
        index: 'logs-shop',
        node: url,
        auth: { username: 'anybody', password: token },
        esVersion: 8,
        flushBytes: 4000,
        opType: 'create',
    })
    const failures = []
    for (const event of ['insertError', 'error', 'unknown']) stream.on(event, (error) => failures.push(error))
    const inserted = new Promise((done) => stream.on('insert', done).on('error', done))
    const logger = pino({ level: 'info', base: { kubernetes: { namespace_name: 'shop', pod_name: 'pod-pino' } } }, stream)
    for (let number = 0; number < Number(count); number++) logger.warn({ number }, `order ${number}`)
    stream.end()
    const { total, failed, successful } = await inserted
    if (failures.length) throw failures[0]
    if (failed !== 0 || successful !== total) throw new Error(`${failed} of ${total}`)
}

async function splunk() {
    const { default: splunk } = await import('splunk-logging')
    const logger = new splunk.Logger({ token, url, maxBatchCount: 0 })
    logger.eventFormatter = (message) => message
    const flush = () =>
        new Promise((done, fail) => {
            logger.flush((error, response, body) => (error || body.code !== 0 ? fail(error || body) : done()))
        })
    for (let number = 0; number < Number(count); number++) {
        const message = { msg: `order ${number}`, level: 'warn', number, namespace: 'shop', pod: 'pod-splunk' }
        logger.send({ message, metadata: { source: 'cart', sourcetype: '_json' } })
        if (number % 30 === 29) await flush()
    }
    await flush()
}

await (library === 'splunk' ? splunk() : elasticsearch())
process.exit(0)
