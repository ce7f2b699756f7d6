/** Single-letter shortcuts must not fire while somebody types or a dialog is open. */
export function isTyping(event: KeyboardEvent): boolean {
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || event.isComposing)
    return true;
  const target = event.target as HTMLElement | null;
  return target?.closest?.('input, textarea, select, [contenteditable=true], [role=dialog]') != null;
}
