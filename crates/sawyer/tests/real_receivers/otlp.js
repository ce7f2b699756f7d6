// Logs numbered lines through OpenTelemetry's SDK, whose exporter over HTTP sends JSON: otlp.js json URL TOKEN COUNT
import { OTLPLogExporter } from '@opentelemetry/exporter-logs-otlp-http'
import { resourceFromAttributes } from '@opentelemetry/resources'
import { BatchLogRecordProcessor, LoggerProvider } from '@opentelemetry/sdk-logs'

const [way, url, token, count] = process.argv.slice(2)
const exporter = new OTLPLogExporter({
    url: `${url}/v1/logs`,
    headers: { authorization: `Bearer ${token}` },
    compression: 'gzip',
})
const provider = new LoggerProvider({
    resource: resourceFromAttributes({
        'service.name': 'cart',
        'k8s.namespace.name': 'shop',
        'k8s.pod.name': `cart-${way}`,
    }),
    processors: [new BatchLogRecordProcessor({ exporter, maxQueueSize: Number(count) })],
})
const logger = provider.getLogger('shop.cart')
for (let number = 0; number < Number(count); number++) {
    const attributes = { number, big: 2 ** 53 - 1, share: 0.5, tags: ['a', 'b'], nested: { is: true } }
    logger.emit({ severityNumber: 13, severityText: 'WARN', body: `order ${number} is on its way`, attributes })
}
await provider.shutdown()
