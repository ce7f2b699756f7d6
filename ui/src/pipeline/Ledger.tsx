import type { Book, Count } from '../api/pipeline';
import { useMessages } from '../i18n';
import { usePrefs } from '../state/prefs';
import { formatBytes, formatCount } from '../time/format';
import { endings, inOrder, isLoss } from './model';
import { Table } from './Table';

/** What was read, and what became of it: one row for each input and output. */
export function Ledger({ books }: { books: Book[] }) {
  const t = useMessages();
  const { locale } = usePrefs();
  const open = books.filter((book) => !book.closes).length;
  const closes = open === 0;
  return (
    <section className="pipeline-part" aria-labelledby="ledger-title">
      <h2 id="ledger-title">{t.ledger}</h2>
      <p className={closes ? 'ledger-verdict is-closed' : 'ledger-verdict is-open'} role="status">
        {closes ? t.ledgerCloses : t.ledgerOpen(formatCount(open, locale))}
      </p>
      <p className="hint">{t.ledgerHint}</p>
      {books.length === 0 ? (
        <p className="hint">{t.ledgerNone}</p>
      ) : (
        <Table
          title={t.ledger}
          columns={[t.ledgerFrom, t.ledgerTo, t.ledgerRead, t.ledgerEnded, t.ledgerUnaccounted]}
        >
          {inOrder(books).map((book) => (
            <BookRow key={`${book.hop} ${book.input} ${book.output}`} book={book} />
          ))}
        </Table>
      )}
    </section>
  );
}

function BookRow({ book }: { book: Book }) {
  const t = useMessages();
  const { locale } = usePrefs();
  const { copied, made } = book;
  return (
    <tr className={book.closes ? undefined : 'is-open'}>
      <th scope="row">{book.hop === 'buffer' ? <i>{t.ledgerBuffer}</i> : book.input}</th>
      <td>{book.output}</td>
      <td>
        <Amount count={book.read} />
        {copied.records > 0 && (
          <div className="hint">{t.ledgerCopied(formatCount(copied.records, locale))}</div>
        )}
        {made.records > 0 && <div className="hint">{t.ledgerMade(formatCount(made.records, locale))}</div>}
      </td>
      <td>
        <ul className="endings">
          {endings(book).map((ending) => (
            <li
              key={`${ending.fate} ${ending.rule}`}
              className={isLoss(ending.fate) ? 'ending is-loss' : 'ending'}
              title={formatBytes(ending.bytes)}
            >
              {fateName(t, ending.fate)}
              {ending.rule && <code>{ending.rule}</code>} <b>{formatCount(ending.records, locale)}</b>
            </li>
          ))}
        </ul>
      </td>
      <td>{book.closes ? '0' : <Amount count={book.unaccounted} />}</td>
    </tr>
  );
}

function Amount({ count }: { count: Count }) {
  const { locale } = usePrefs();
  return (
    <>
      <b>{formatCount(count.records, locale)}</b> <span className="hint">{formatBytes(count.bytes)}</span>
    </>
  );
}

function fateName(t: ReturnType<typeof useMessages>, fate: string): string {
  const names: Record<string, string> = {
    delivered: t.fateDelivered,
    buffered: t.fateBuffered,
    filtered: t.fateFiltered,
    sampled: t.fateSampled,
    aggregated: t.fateAggregated,
    deduplicated: t.fateDeduplicated,
    shed: t.fateShed,
    dead_lettered: t.fateDeadLettered,
    joined: t.fateJoined,
  };
  return names[fate] ?? fate;
}
