import { useState } from 'react';
import { useMessages } from '../i18n';
import { copyText } from '../state/clipboard';
import type { IconName } from './Icon';
import { IconButton } from './IconButton';

const SHOWN_MS = 1500;

export function CopyButton({ icon, label, text }: { icon: IconName; label: string; text: () => string }) {
  const t = useMessages();
  const [copied, setCopied] = useState(false);
  const copy = async () => {
    await copyText(text());
    setCopied(true);
    setTimeout(() => setCopied(false), SHOWN_MS);
  };
  return (
    <IconButton
      icon={copied ? 'exists' : icon}
      label={copied ? t.detailsCopied : label}
      onClick={() => void copy()}
    />
  );
}
