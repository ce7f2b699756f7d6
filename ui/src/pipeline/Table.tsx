import type { ReactNode } from 'react';

/** A table with a heading that scrolls by itself where it is too wide. */
export function Table({
  title,
  columns,
  children,
}: {
  title: string;
  columns: string[];
  children: ReactNode;
}) {
  return (
    <div className="books-scroll" tabIndex={0} role="group" aria-label={title}>
      <table className="books">
        <thead>
          <tr>
            {columns.map((column) => (
              <th key={column} scope="col">
                {column}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>{children}</tbody>
      </table>
    </div>
  );
}
