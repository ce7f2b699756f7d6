import { Icon, type IconName } from './Icon';

export interface IconButtonProps {
  icon: IconName;
  /** Read by screen readers and shown on hover. */
  label: string;
  onClick: () => void;
  pressed?: boolean;
  disabled?: boolean;
  className?: string;
}

export function IconButton({ icon, label, onClick, pressed, disabled, className }: IconButtonProps) {
  return (
    <button
      type="button"
      className={`icon-button ${className ?? ''}`}
      aria-label={label}
      title={label}
      aria-pressed={pressed}
      disabled={disabled}
      onClick={onClick}
    >
      <Icon name={icon} />
    </button>
  );
}
