import { expect, test } from 'vitest';
import { placeOf } from '../../src/pipeline/model';

test('a container is told by its log wherever the folder of pods is mounted', () => {
  const log = 'shop_cart-6d5f-x2_0f0e8a5c-02cc/app/0.log';
  for (const folder of ['/var/log/pods', '/host/var/log/pods', '/data/demo/pods']) {
    expect(placeOf(`${folder}/${log}`)).toEqual({ name: 'shop / cart-6d5f-x2 / app', file: '0.log' });
  }
});

test('other files are told by their path', () => {
  for (const path of ['/var/log/dpkg.log', '/srv/pods/a_b.log', '/var/log/pods/README']) {
    expect(placeOf(path)).toEqual({ name: path, file: '' });
  }
});
