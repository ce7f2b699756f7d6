/** The search page in a real browser against the fixture server. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { startFixture } from '../fixture/server.mjs';
import { launch, openPage, screenshot } from './browser.mjs';

let browser;
let fixture;

before(async () => {
  browser = await launch();
  fixture = await startFixture({ count: 5000 });
});

after(async () => {
  await browser?.close();
  await fixture?.close();
});

/** Opens the page, runs `body`, and fails on any console error or refusal of the content policy. */
async function withPage(search, body, options) {
  const page = await openPage(browser, (options?.fixture ?? fixture).url + search, options);
  try {
    await body(page);
    assert.deepEqual(page.problems, []);
  } finally {
    await page.context().close();
  }
}

const rows = (page) => page.locator('.logrow:not([hidden])');
const total = async (page) => Number((await page.locator('.cost b').innerText()).replace(/\D/g, ''));
const run = async (page, query) => {
  await page.locator('.cm-content').click();
  await page.keyboard.press('Control+a');
  await page.keyboard.type(query);
  await page.keyboard.press('Enter');
};
const waitForTotal = (page, check, timeout = 5000) =>
  page.waitForFunction(
    (text) => new RegExp(text).test(document.querySelector('.cost b')?.textContent ?? ''),
    check,
    { timeout },
  );

test('shows rows, histogram, fields and cost', async () => {
  await withPage('', async (page) => {
    await rows(page).first().waitFor();
    await waitForTotal(page, '^5,000 ');
    assert.ok((await rows(page).count()) < 80, 'only visible rows are drawn');
    await page.locator('.histogram canvas').waitFor();
    await page.locator('.field-name', { hasText: 'http.status' }).waitFor();
    assert.match(await page.locator('.cost').innerText(), /segments read, 11 skipped/);
    await page.waitForTimeout(300);
    await screenshot(page, 'search-light-en');
  });
});

test('the legend accounts for records without a level', async () => {
  const plain = await startFixture({ count: 300 });
  for (const record of plain.api.records.slice(-40)) delete record.level;
  try {
    const check = async (page) => {
      await page.locator('.legend-item').first().waitFor();
      const legend = await page.locator('.legend-item').allInnerTexts();
      const counts = legend.map((text) => Number(text.replace(/\D/g, '')));
      assert.equal(
        counts.reduce((sum, count) => sum + count, 0),
        300,
        legend.join(', '),
      );
      assert.equal(legend.at(-1).trim(), 'other 40');
    };
    await withPage('', check, { fixture: plain });
  } finally {
    await plain.close();
  }
});

test('asks for rows first and completes nothing on load', async () => {
  fixture.api.requests.length = 0;
  await withPage('', async (page) => {
    await page.locator('.field-name').first().waitFor();
    await page.waitForTimeout(300);
    const names = fixture.api.requests.map((request) => request.name);
    assert.equal(names[0], 'search');
    assert.deepEqual(names.toSorted(), ['fields', 'histogram', 'search']);
    assert.equal(fixture.api.requests[0].original, false);
  });
});

test('runs a query, marks its words and keeps it in the address', async () => {
  await withPage('', async (page) => {
    await rows(page).first().waitFor();
    await run(page, 'timeout and level: error');
    await page.locator('mark', { hasText: 'timeout' }).first().waitFor();
    assert.equal(new URL(page.url()).searchParams.get('q'), 'timeout and level: error');
    await page.reload();
    await page.locator('mark').first().waitFor();
    assert.equal(await page.locator('.cm-content').innerText(), 'timeout and level: error');
    await page.goBack();
    await waitForTotal(page, '^5,000 ');
    assert.match(await page.locator('.cm-content').innerText(), /Search logs/);
  });
});

test('filters in and out from top values, inverts and removes pills', async () => {
  await withPage('', async (page) => {
    await page.locator('.field-name', { hasText: 'namespace' }).click();
    await page.getByRole('button', { name: 'Only namespace: shop' }).click();
    await page.waitForFunction(
      () => !/^5,000 /.test(document.querySelector('.cost b')?.textContent ?? '5,000 '),
    );
    const inside = await total(page);
    assert.ok(inside > 0 && inside < 5000);
    const origins = await page.locator('.logrow:not([hidden]) .logcell-_origin').allInnerTexts();
    assert.ok(origins.every((origin) => origin.startsWith('shop/')));
    await page.getByRole('button', { name: 'Invert filter namespace: shop' }).click();
    await waitForTotal(page, `^${(5000 - inside).toLocaleString('en')} `);
    await screenshot(page, 'filtered');
    await page.getByRole('button', { name: 'Remove filter namespace: shop' }).click();
    await waitForTotal(page, '^5,000 ');
  });
});

test('brushing the histogram narrows the range, and can be undone', async () => {
  await withPage('', async (page) => {
    const plot = page.locator('.histogram .u-over');
    await plot.waitFor();
    const box = await plot.boundingBox();
    await page.mouse.move(box.x + box.width * 0.4, box.y + 30);
    await page.mouse.down();
    await page.mouse.move(box.x + box.width * 0.5, box.y + 40, { steps: 5 });
    await page.mouse.move(box.x + box.width * 0.6, box.y + 40, { steps: 5 });
    await page.mouse.up();
    await page.waitForFunction(
      () => !/^5,000 /.test(document.querySelector('.cost b')?.textContent ?? '5,000 '),
    );
    const brushed = await total(page);
    assert.ok(brushed > 700 && brushed < 1500, `a fifth of an hour holds ${brushed}`);
    const parameters = new URL(page.url()).searchParams;
    const span = Date.parse(parameters.get('to')) - Date.parse(parameters.get('from'));
    assert.ok(Math.abs(span - 720_000) < 30_000, `span=${span}`);
    await page.getByRole('button', { name: 'Undo zoom' }).click();
    await waitForTotal(page, '^5,000 ');
  });
});

test('details open, move by keyboard, filter, and close', async () => {
  await withPage('', async (page) => {
    await rows(page).nth(2).click();
    const details = page.locator('.details');
    await details.waitFor();
    const id = () => new URL(page.url()).searchParams.get('id');
    assert.equal(id(), 'fixture-00000002');
    await page.keyboard.press('j');
    await page.waitForFunction(() => location.search.includes('00000003'));
    await page.keyboard.press('k');
    await page.waitForFunction(() => location.search.includes('00000002'));
    await page.getByRole('tab', { name: 'JSON' }).click();
    assert.match(await details.locator('pre').innerText(), /"_id": "fixture-00000002"/);
    await page.getByRole('tab', { name: 'As written' }).click();
    assert.ok((await details.locator('pre').innerText()).length > 5);
    await page.getByRole('tab', { name: 'Fields' }).click();
    await details.getByLabel('Filter fields').fill('worklo');
    assert.equal(await details.locator('.fieldline').count(), 1);
    await details.locator('.fieldline').hover();
    await details.getByRole('button', { name: 'Only workload' }).click();
    await page.locator('.pill', { hasText: 'workload' }).waitFor();
    await page.locator('.loglist').focus();
    await page.keyboard.press('Escape');
    await details.waitFor({ state: 'detached' });
  });
});

test('a link leads to its record', async () => {
  await withPage('?id=fixture-00000042', async (page) => {
    await page.locator('.details .fieldline', { hasText: 'fixture-00000042' }).waitFor();
  });
});

test('scrolling loads the next pages without gaps or repeats', async () => {
  await withPage('?q=level%3A%20error', async (page) => {
    await rows(page).first().waitFor();
    await page.waitForTimeout(300);
    const all = await total(page);
    for (let i = 0; i < 30; i += 1) {
      await page.locator('.loglist').evaluate((list) => (list.scrollTop = list.scrollHeight));
      await page.waitForTimeout(60);
    }
    const last = await rows(page).last().getAttribute('aria-rowindex');
    assert.equal(Math.max(...(await rowIndexes(page))), all + 1, `last drawn ${last}`);
  });
});

async function rowIndexes(page) {
  const indexes = await page
    .locator('.logrow:not([hidden])')
    .evaluateAll((all) => all.map((row) => row.ariaRowIndex ?? row.getAttribute('aria-rowindex')));
  return indexes.map(Number);
}

test('columns, wrapping and order', async () => {
  await withPage('', async (page) => {
    await page.locator('.field-name', { hasText: 'http.status' }).hover();
    await page.getByRole('button', { name: 'Add column http.status' }).click();
    await page.getByRole('columnheader', { name: 'http.status' }).waitFor();
    await page.getByRole('columnheader', { name: 'http.status' }).hover();
    await page.locator('.loglist-remove[aria-label="Remove column http.status"]').click();
    await page.getByRole('columnheader', { name: 'http.status' }).waitFor({ state: 'detached' });
    await page.getByRole('button', { name: /Time/ }).filter({ hasText: '↓' }).click();
    await page.locator('.loglist-sort', { hasText: '↑' }).waitFor();
    await page.waitForFunction(() => !document.querySelector('.progress'));
    const times = await page.locator('.logrow:not([hidden]) .logcell-timestamp').allInnerTexts();
    assert.deepEqual(times, times.toSorted());
    await page.getByRole('button', { name: 'Wrap lines' }).click();
    await page.locator('.loglist.is-wrapped').waitFor();
  });
});

test('an error of the query is shown with its place', async () => {
  await withPage('', async (page) => {
    await rows(page).first().waitFor();
    await run(page, 'level: error or');
    await page.locator('.query-error pre', { hasText: '^' }).waitFor();
    const [line, caret] = (await page.locator('.query-error pre').innerText()).split('\n');
    assert.equal(line, 'level: error or');
    assert.equal(caret.trimEnd().length, line.length + 1);
    await screenshot(page, 'query-error');
    await run(page, 'level: error');
    await rows(page).first().waitFor();
    assert.equal(await page.locator('.query-error').count(), 0);
    assert.ok(page.problems.every((problem) => /status of 400/.test(problem)));
    page.problems.length = 0;
  });
});

test('says why there is nothing', async () => {
  const empty = await startFixture({ count: 0 });
  try {
    await withPage('', (page) => page.locator('.empty[data-kind=store]').waitFor(), { fixture: empty });
  } finally {
    await empty.close();
  }
  await withPage('?q=zzzz', async (page) => {
    await page.locator('.empty[data-kind=filter]').waitFor();
    assert.equal(await page.getByText('has the field').count(), 0);
  });
  await withPage('?q=levle:%20error%20and%20level:%20nope', async (page) => {
    const said = page.locator('.empty p', { hasText: 'has the field' });
    await said.waitFor();
    assert.deepEqual(await said.allInnerTexts(), [
      'No record in this time range has the field levle. Did you mean level?',
    ]);
  });
  await withPage('?from=2020-01-01T00:00:00Z&to=2020-01-02T00:00:00Z', async (page) => {
    await page.locator('.empty[data-kind=range] button').click();
    await rows(page).first().waitFor();
  });
});

test('a newer question overtakes a slow older one', async () => {
  await withPage('', async (page) => {
    await rows(page).first().waitFor();
    fixture.delayMs = 700;
    await run(page, 'level: info');
    await page.waitForTimeout(100);
    fixture.delayMs = 0;
    await run(page, 'level: fatal');
    await page.locator('.logrow.level-fatal').first().waitFor();
    await page.waitForTimeout(900);
    assert.equal(await page.locator('.logrow.level-info:not([hidden])').count(), 0);
  });
});

test('completes fields and values', async () => {
  await withPage('', async (page) => {
    await rows(page).first().waitFor();
    await page.keyboard.press('/');
    await page.keyboard.type('name');
    await page.locator('.cm-completionLabel', { hasText: 'namespace' }).click();
    await page.keyboard.press('Control+Space');
    await page.locator('.cm-completionLabel', { hasText: 'kube-system' }).click();
    await page.keyboard.press('Enter');
    await page.waitForFunction(
      () => new URLSearchParams(location.search).get('q')?.trim() === 'namespace: kube-system',
    );
  });
});

test('the time picker sets presets, typed ranges and absolute times', async () => {
  await withPage('', async (page) => {
    const open = async () => {
      await page.getByRole('button', { name: /^Time range/ }).click();
      await page.locator('.calendar').waitFor();
    };
    const parameter = (name) => new URL(page.url()).searchParams.get(name);
    await open();
    await screenshot(page, 'time-picker');
    await page.getByRole('button', { name: 'Last 15 minutes' }).click();
    assert.equal(parameter('from'), 'now-15m');
    await open();
    await page.getByLabel('Type a range').fill('3 days');
    await page.keyboard.press('Enter');
    assert.equal(parameter('from'), 'now-3d');
    await open();
    await page.getByLabel('From', { exact: true }).fill('2026-11-20 09:00');
    await page.getByLabel('To', { exact: true }).fill('2026-11-20 10:30');
    await page.getByRole('button', { name: 'Apply' }).click();
    assert.equal(parameter('from'), '2026-11-20T00:00:00.000Z', 'Seoul is nine hours ahead');
    assert.match(await page.locator('.timepicker-button').innerText(), /Nov 20, 09:00 – 10:30/);
  });
});

test('arrows and keys go by the length of the range, and no further than now', async () => {
  await withPage('', async (page) => {
    const parameter = (name) => new URL(page.url()).searchParams.get(name);
    const hours = (name) => Date.parse(parameter(name)) / 3_600_000;
    const later = page.getByRole('button', { name: 'Later by the same length' });
    await rows(page).first().waitFor();
    assert.ok(await later.isDisabled(), 'the last hour ends now');
    await page.keyboard.press(']');
    assert.equal(parameter('from'), null);
    await page.getByRole('button', { name: 'Earlier by the same length' }).click();
    const first = parameter('from');
    assert.ok(Math.abs(hours('to') - hours('from') - 1) < 1e-6, 'one hour');
    await page.keyboard.press('[');
    assert.equal(parameter('to'), first);
    await page.keyboard.press(']');
    assert.equal(parameter('from'), first);
    await screenshot(page, 'time-steps');
    await page.goto(
      `${fixture.url}?from=${encodeURIComponent(first)}&to=${encodeURIComponent(new Date().toISOString())}`,
    );
    await rows(page).first().waitFor();
    await page.locator('.cm-content').click();
    await page.keyboard.press('[');
    assert.equal(parameter('from'), first, 'what is typed is no key');
    await later.click();
    assert.equal(parameter('to'), null);
    assert.match(parameter('from'), /^now-\d+[smh]$/);
    assert.ok(await later.isDisabled());
  });
});

test('switches language and theme, and remembers both', async () => {
  await withPage('', async (page) => {
    await page.getByRole('button', { name: 'Display settings' }).click();
    await page.getByRole('radio', { name: '한국어' }).check();
    await page.getByRole('radio', { name: '어둡게' }).check();
    await page.keyboard.press('Escape');
    await page.getByRole('button', { name: '실행', exact: true }).waitFor();
    await page.reload();
    await page.getByRole('button', { name: '실행', exact: true }).waitFor();
    assert.equal(await page.locator('html').getAttribute('lang'), 'ko');
    assert.equal(await page.locator('html').getAttribute('data-theme'), 'dark');
    await rows(page).first().waitFor();
    await page.waitForTimeout(400);
    await rows(page).nth(4).click();
    await page.waitForTimeout(400);
    await screenshot(page, 'search-dark-ko');
  });
});

test('works on a narrow screen in Korean', async () => {
  const options = { locale: 'ko-KR', viewport: { width: 400, height: 800 } };
  const check = async (page) => {
    await rows(page).first().waitFor();
    const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    assert.ok(overflow <= 0, `overflow=${overflow}`);
    await page.waitForTimeout(400);
    await screenshot(page, 'narrow-ko');
  };
  await withPage('', check, options);
});

test('works below a path', async () => {
  const below = await startFixture({ count: 100, base: '/tools/logs/' });
  try {
    await withPage('', (page) => rows(page).first().waitFor(), { fixture: below });
  } finally {
    await below.close();
  }
});

test('live tail follows, pauses, says what was left out, and repairs itself', async () => {
  const live = await startFixture({ count: 500 });
  const check = async (page) => {
    await page.getByRole('button', { name: 'Live', exact: true }).click();
    await page.locator('.live-dot.is-open').waitFor();
    await rows(page).first().waitFor();
    const added = live.api.add();
    await atBottom(page, added._id, live);
    await page.locator('.loglist').hover();
    await page.mouse.wheel(0, -600);
    await page.locator('.live-dot.is-paused').waitFor();
    for (let i = 0; i < 3; i += 1) live.api.add();
    await page.getByRole('button', { name: '3 new' }).click();
    await page.locator('.live-dot.is-open').waitFor();
    for (const tail of live.api.tails) tail.send('skipped', { count: 1234 });
    await page.locator('.notice', { hasText: '1,234' }).waitFor();
    await screenshot(page, 'live-tail');
    // Records that arrive while the connection is down are fetched afterwards, once each.
    const before = await loaded(page);
    live.failTail = 2;
    live.dropTails();
    await page.locator('.live-dot.is-waiting').waitFor();
    live.api.add();
    await page.locator('.live-dot.is-open').waitFor({ timeout: 10_000 });
    await page.waitForFunction(
      (n) => document.querySelector('.live-status').textContent.includes(`${n} loaded`),
      before + 1,
    );
    page.problems = page.problems.filter((problem) => !/503|ERR_INCOMPLETE_CHUNKED/.test(problem));
  };
  try {
    await withPage('', check, { fixture: live });
  } finally {
    await live.close();
  }
});

const loaded = async (page) =>
  Number(/([\d,]+) loaded/.exec(await page.locator('.live-status').innerText())[1].replace(',', ''));

/** The newest record is the last row, and the view has followed it. */
async function atBottom(page, id, live) {
  const clock = live.api.record(id).record.timestamp.slice(14, 23);
  await page.locator('.logrow.is-fresh .logcell-timestamp', { hasText: clock }).waitFor();
  const slack = await page
    .locator('.loglist')
    .evaluate((list) => list.scrollHeight - list.scrollTop - list.clientHeight);
  assert.ok(slack <= 4, `slack=${slack}`);
}

test('a live tail with a wrong query says so', async () => {
  await withPage('?live=1&q=level:%20error%20or', async (page) => {
    await page.locator('.live-status .is-error', { hasText: 'expected' }).waitFor();
    page.problems = page.problems.filter((problem) => !/status of 400/.test(problem));
  });
});

test('one value is asked for alone, without the query and the filters', async () => {
  const body = async (page) => {
    await rows(page).first().click();
    const line = page.locator('.fieldline', { has: page.locator('dt', { hasText: /^trace_id$/ }) });
    await line.hover();
    await line.getByRole('button', { name: 'Search for this trace_id and nothing else' }).click();
    await page.locator('.pill', { hasText: 'trace_id' }).waitFor();
    const parameters = new URL(page.url()).searchParams;
    assert.deepEqual([parameters.get('q'), parameters.getAll('f').length], [null, 1]);
    assert.equal(parameters.get('from'), 'now-30m');
  };
  await withPage('?q=level:%20error&f=-namespace:edge&from=now-30m', async (page) => {
    await body(page);
    assert.equal(await page.locator('.details').count(), 1);
  });
  // On a phone details cover the rows, so they go.
  await withPage(
    '?q=level:%20error&from=now-30m',
    async (page) => {
      await body(page);
      await page.locator('.details').waitFor({ state: 'detached' });
    },
    { viewport: { width: 390, height: 844 } },
  );
});

test('surrounding records show what came before and after in the same container', async () => {
  await withPage('?q=level:%20fatal', async (page) => {
    await rows(page).first().click();
    await page.getByRole('button', { name: 'Surrounding records' }).click();
    await page.locator('.pill', { hasText: 'container' }).waitFor();
    await page.locator('.logrow[aria-selected=true]').waitFor();
    assert.ok((await rows(page).count()) > 1);
    assert.equal(new URL(page.url()).searchParams.get('q'), null);
  });
});

test('a search under way can be cancelled and keeps the rows', async () => {
  await withPage('', async (page) => {
    await rows(page).first().waitFor();
    fixture.delayMs = 3000;
    await run(page, 'level: info');
    await page.getByRole('button', { name: 'Cancel' }).click();
    fixture.delayMs = 0;
    await page.getByRole('button', { name: 'Run', exact: true }).waitFor();
    assert.ok((await rows(page).count()) > 10);
  });
});

test('auto refresh brings new records without a click', async () => {
  const growing = await startFixture({ count: 50 });
  try {
    const check = async (page) => {
      await waitForTotal(page, '^50 ');
      growing.api.add(Date.now() - 10);
      await waitForTotal(page, '^51 ', 9000);
    };
    await withPage('?refresh=5', check, { fixture: growing });
  } finally {
    await growing.close();
  }
});

test('shortcuts do not fire while typing', async () => {
  await withPage('', async (page) => {
    await rows(page).first().waitFor();
    await page.locator('.cm-content').click();
    await page.keyboard.type('j?k/');
    assert.equal(await page.getByRole('dialog').count(), 0);
    assert.equal(new URL(page.url()).searchParams.get('id'), null);
    await page.locator('.loglist').focus();
    await page.keyboard.press('?');
    await page.getByRole('dialog', { name: 'Keyboard shortcuts' }).waitFor();
    await page.keyboard.press('Escape');
    await page.getByRole('dialog').waitFor({ state: 'detached' });
  });
});

test('exports everything that matches, not only what is loaded', async () => {
  await withPage('?q=level%3A%20info&limit=10&order=asc', async (page) => {
    await rows(page).first().waitFor();
    await waitForTotal(page, '^[1-9]');
    const matching = await total(page);
    const [download] = await Promise.all([
      page.waitForEvent('download'),
      page.getByRole('button', { name: 'Export' }).click(),
    ]);
    assert.match(download.suggestedFilename(), /^sawyer-.*\.ndjson$/);
    const chunks = [];
    for await (const chunk of await download.createReadStream()) chunks.push(chunk);
    const text = Buffer.concat(chunks).toString().trimEnd();
    const lines = text.split('\n').map((line) => JSON.parse(line));
    assert.equal(lines.pop()._end.cursor, null);
    assert.equal(lines.length, matching);
    assert.ok(lines.every((record) => record.level === 'info'));
    assert.ok(lines[0].timestamp < lines.at(-1).timestamp);
  });
});
