/** The room of the pipeline: what is read, what became of it, what waits. Loaded when somebody enters it. */
import { useQuery } from '@tanstack/react-query';
import { readBuffers, readLedger, readStatus } from '../api/pipeline';
import { Failure } from '../components/EmptyState';
import { useMessages } from '../i18n';
import { Buffers } from './Buffers';
import { EndToEnd } from './EndToEnd';
import { Inputs } from './Inputs';
import { Ledger } from './Ledger';
import { Sources } from './Sources';
import './pipeline.css';

const REFRESH_MS = 5000;

function useLive<T>(name: string, read: (signal?: AbortSignal) => Promise<T>) {
  return useQuery({
    queryKey: ['pipeline', name],
    queryFn: ({ signal }) => read(signal),
    refetchInterval: REFRESH_MS,
    staleTime: 0,
  });
}

export default function PipelineRoom() {
  const t = useMessages();
  const ledger = useLive('ledger', readLedger);
  const status = useLive('status', readStatus);
  const buffers = useLive('buffers', readBuffers);
  const failed = [ledger, status, buffers].find((query) => query.error && !query.data);
  if (failed?.error) return <Failure error={failed.error} onRetry={() => void failed.refetch()} />;
  if (!ledger.data || !status.data || !buffers.data) return <main className="empty">{t.loading}</main>;
  return (
    <main className="pipeline">
      <Ledger books={ledger.data.ledger} />
      <EndToEnd checkpoints={ledger.data.checkpoints} peers={ledger.data.peers} />
      <Inputs inputs={status.data.inputs} />
      <Sources />
      <Buffers buffers={buffers.data.buffers} />
    </main>
  );
}
