/** What the room asks, again and again while it is open. */
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { listHistory, listNotifiers, listRules, listSilences } from '../api/alerts';

const REFRESH_MS = 5000;
const live = { refetchInterval: REFRESH_MS, staleTime: 0 } as const;

export const useRules = () =>
  useQuery({ queryKey: ['alerts', 'rules'], queryFn: ({ signal }) => listRules(signal), ...live });
export const useSilences = () =>
  useQuery({ queryKey: ['alerts', 'silences'], queryFn: ({ signal }) => listSilences(signal), ...live });
export const useHistory = () =>
  useQuery({ queryKey: ['alerts', 'history'], queryFn: ({ signal }) => listHistory(signal), ...live });
export const useNotifiers = () =>
  useQuery({ queryKey: ['alerts', 'notifiers'], queryFn: ({ signal }) => listNotifiers(signal), ...live });

/** A change, after which everything shown is asked again. */
export function useChange<T>(change: (input: T) => Promise<unknown>, done?: () => void) {
  const client = useQueryClient();
  return useMutation({
    mutationFn: change,
    onSuccess: async () => {
      await client.invalidateQueries({ queryKey: ['alerts'] });
      done?.();
    },
  });
}
