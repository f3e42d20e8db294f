package ai.edgeprune.demo;

import android.content.Context;
import android.graphics.Canvas;
import android.graphics.Color;
import android.graphics.Paint;
import android.view.View;

/** A bar a value, each with its words; upright for a histogram, lying for the most likely classes. */
final class Bars extends View {
    private final Paint paint = new Paint(Paint.ANTI_ALIAS_FLAG);
    private final boolean upright;
    private double[] values = new double[0];
    private String[] words = new String[0];

    Bars(Context context, boolean upright) {
        super(context);
        this.upright = upright;
        paint.setTextSize(14 * getResources().getDisplayMetrics().scaledDensity);
    }

    /** Values of 0 to 1; `words` may be shorter. */
    void show(double[] newValues, String[] newWords) {
        values = newValues;
        words = newWords;
        setContentDescription(android.text.TextUtils.join(", ", newWords));
        invalidate();
    }

    @Override
    protected void onDraw(Canvas canvas) {
        float step = (upright ? getWidth() : getHeight()) / (float) Math.max(1, values.length);
        for (int i = 0; i < values.length; i++) {
            paint.setColor(Color.rgb(165, 214, 167));
            if (upright) {
                float top = (float) (getHeight() * (1 - values[i]));
                canvas.drawRect(i * step, top, (i + 0.9f) * step, getHeight(), paint);
            } else {
                canvas.drawRect(0, i * step, (float) (getWidth() * values[i]), (i + 0.9f) * step, paint);
            }
            if (i < words.length) {
                paint.setColor(Color.BLACK);
                canvas.drawText(words[i], upright ? i * step : 8, (i + 0.7f) * (upright ? 0 : step) + (upright ? 40 : 0),
                        paint);
            }
        }
    }
}
