import type { Book, Count } from '../api/pipeline';
import { useMessages } from '../i18n';
import { usePrefs } from '../state/prefs';
import { formatBytes, formatCount } from '../time/format';
import { Endings } from './Endings';
import { inOrder } from './model';
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
        <Endings endings={book.ended} />
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
