import { QueryClient, QueryClientProvider } from '@tanstack/react-query';
import { createRoot } from 'react-dom/client';
import { App } from './components/App';
import { applyToDocument, followSystemTheme } from './state/prefs';
import { shouldRetry } from './state/search';
import './styles/tokens.css';
import './styles/base.css';
import './styles/list.css';
import './styles/search.css';
import './styles/panels.css';

/** Old runs are not looked at again: the address leads to a fresh one. */
const CACHE_MS = 30_000;

applyToDocument();
followSystemTheme();

const client = new QueryClient({
  defaultOptions: {
    queries: {
      gcTime: CACHE_MS,
      staleTime: Infinity,
      refetchOnWindowFocus: false,
      refetchOnReconnect: false,
      retry: shouldRetry,
      retryDelay: 500,
    },
  },
});

const root = document.getElementById('root');
if (root) {
  createRoot(root).render(
    <QueryClientProvider client={client}>
      <App />
    </QueryClientProvider>,
  );
}
