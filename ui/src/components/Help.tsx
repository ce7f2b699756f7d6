import { useEffect, useState } from 'react';
import { Dialog, Heading, Modal, ModalOverlay } from 'react-aria-components';
import { useMessages } from '../i18n';
import { isTyping } from '../state/keys';
import { IconButton } from './IconButton';

export function useHelp() {
  const [isOpen, setOpen] = useState(false);
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      if (event.key === '?' && !isTyping(event)) setOpen(true);
    };
    window.addEventListener('keydown', onKey);
    return () => window.removeEventListener('keydown', onKey);
  }, []);
  return { isOpen, open: () => setOpen(true), close: () => setOpen(false) };
}

export function Help({ onClose }: { onClose: () => void }) {
  const t = useMessages();
  const keys: [string[], string][] = [
    [['/'], t.keySearch],
    [['Enter'], t.keyRun],
    [['Shift', 'Enter'], t.keyNewline],
    [['Ctrl', 'Space'], t.keyComplete],
    [['j'], t.keyNext],
    [['k'], t.keyPrevious],
    [['['], t.keyEarlier],
    [[']'], t.keyLater],
    [['Esc'], t.keyClose],
    [['?'], t.keyHelp],
  ];
  return (
    <ModalOverlay isOpen isDismissable onOpenChange={(open) => !open && onClose()} className="modal-overlay">
      <Modal className="modal">
        <Dialog className="dialog">
          <div className="dialog-head">
            <Heading slot="title">{t.shortcuts}</Heading>
            <IconButton icon="close" label={t.close} onClick={onClose} />
          </div>
          <dl className="keys">
            {keys.map(([names, text]) => (
              <div key={text}>
                <dt>
                  {names.map((name) => (
                    <kbd key={name}>{name}</kbd>
                  ))}
                </dt>
                <dd>{text}</dd>
              </div>
            ))}
          </dl>
        </Dialog>
      </Modal>
    </ModalOverlay>
  );
}
